"""The test that every new replica of the benchmark has to pass before it gets requests."""

from tidegate.probe import replica

assert replica.get("/", timeout=10).text == "right", "the answer is wrong"
