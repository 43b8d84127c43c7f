"""Networks as pure functions of nested dicts, with a description of every tensor."""
