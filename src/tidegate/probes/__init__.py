"""Asking replicas how they are: tcp, http, grpc, exec and Python scripts; thresholds turned into verdicts.

`verdicts` is pure; the rest runs checks when told and reports. What a verdict leads to is decided in policy.
Called by `control`.
"""
