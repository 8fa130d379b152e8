"""The test a rollout of the echo service runs against each new replica."""

from tidegate.probe import replica


def check() -> tuple[bool, str]:
    answer = replica.get("/", timeout=120).json()
    return not answer["wrong"], "the answer is wrong" if answer["wrong"] else "the answer is right"
