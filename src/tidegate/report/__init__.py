"""Cost, utilisation, success and times, computed from the rows of a journal or of a simulation. Pure; no I/O."""
