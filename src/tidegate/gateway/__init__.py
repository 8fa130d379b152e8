"""The data plane: HAProxy, its configuration (pure), its runtime socket, its timers and counters, the media screen.

Makes the proxy like the snapshot it is given and reports what the proxy measured. Decides nothing, and no Python
stands in the path of a request. Called by `control`.
"""
