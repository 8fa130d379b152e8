"""The same `policy.tick` in a made-up world: workload, replicas, queue, clusters and faults, all from one seed.

No policy of its own apart from the baselines it compares with. Called by the command line, tests and benchmarks.
"""
