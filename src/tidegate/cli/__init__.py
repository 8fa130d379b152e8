"""The `tidegate` command: reads arguments, calls the rest, prints for people or as JSON."""
