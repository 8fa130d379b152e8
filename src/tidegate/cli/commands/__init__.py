"""The commands, one module each. A module has `register(app)`; what belongs to no one command is in `cli`."""
