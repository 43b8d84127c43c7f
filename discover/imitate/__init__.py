"""Regeneration by imitation: find a program whose updates equal those recorded from a target."""
