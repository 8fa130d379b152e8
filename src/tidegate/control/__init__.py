"""The live system: settings, assembly, observe, act, and the loop that calls `policy.tick`.

The only place where adapters and policy meet. It decides nothing itself: what to do comes from `tick`, how to do it
is the adapters'.
"""
