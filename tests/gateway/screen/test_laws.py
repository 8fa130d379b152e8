"""Laws of the screen on mutated inputs; `fuzz.py` states them and runs any number."""

from gateway.screen.fuzz import fuzz


def test_no_law_is_broken_on_mutated_media():
    fuzz(seed=1, count=3000)
