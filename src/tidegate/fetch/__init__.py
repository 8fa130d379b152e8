"""Fetches the first bytes of media that requests name by URL, for the gateway's screen; a process of its own.

It guards against being made to reach what the sender of a request could not: addresses are judged after they have been
resolved, and the judged address is the one that is connected to. It decides nothing about the request and never sees
it: the gateway sends URLs and gets bytes. Knows nothing of services but their rules, which lie in a file.
"""
