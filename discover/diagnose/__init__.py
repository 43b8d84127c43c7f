"""Why a rule does what it does: curvature along its path, and how far it moves each layer."""
