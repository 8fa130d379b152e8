"""What operators drain, from their wishes and what is remembered of earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from tidegate.model.observed import Intent


def wanted(before: Mapping[str, float], intents: Iterable[Intent], there: Set[str]) -> dict[str, float]:
    """Replicas and clusters that are drained, with the time of the wish; what is not `there` any more is forgotten."""
    now = dict(before)
    for intent in sorted(intents, key=lambda i: i.at):
        if intent.verb == "drain":
            now.setdefault(intent.subject, intent.at)
        elif intent.verb == "undrain":
            now.pop(intent.subject, None)
    return {subject: at for subject, at in now.items() if subject in there}
