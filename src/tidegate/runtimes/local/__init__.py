"""Replicas as processes of this machine, each under a small supervisor of its own (`shim`) that outlives Tidegate.

`runtime` obeys and reports; `records` is what is on disk, and the truth after a restart; `launch`, `ports` and
`limits` work out how one replica is to run. Nothing here probes, counts or decides. Keep this file empty of
imports: the supervisor loads it.
"""
