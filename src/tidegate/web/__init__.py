"""The status page and the control API: what a browser and the command line talk to.

Belongs here: routes, who may use them, the stream of statuses, the page. Does not belong here: anything that knows
what a replica is; it all comes from a `ControlPort`. The page only reads; what changes something goes through the
API's writing routes. `cli.up` builds the app and serves it; `cli` talks to it over the unix socket.
"""
