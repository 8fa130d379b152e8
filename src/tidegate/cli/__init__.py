"""The `tidegate` command: reads arguments, calls the rest, prints for people or as JSON.

A command is one small module in `cli/commands` with a function `register(app)`; it is found by being there. Only `up`
runs the system; the others ask it over its unix socket. Nothing here decides or measures. Importing `cli.app` must stay
fast, so everything heavy (rich, httpx, pydantic models) is imported inside the functions that use it.
"""
