"""Every decision, as pure functions: `tick(specs, observed, memory) -> Tick`.

No clock, no I/O, no randomness, no logging: `observed.at` is the only now. Called by the live loop, the dry run, the
simulator and the replay of a journal, which must not need a special case of their own.
"""
