"""Try a script by hand: `python -m tidegate.probe SCRIPT --address HOST:PORT [--pid PID] [-- ARGS]`."""

from __future__ import annotations

import argparse
import json
import os
import sys

from tidegate.probe.run import run_script
from tidegate.probe.target import ENVIRONMENT

WORDS = {0: "healthy", 1: "unhealthy"}


def main() -> int:
    """Run the script and say its verdict."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.probe", description="Run a probe script by hand.")
    parser.add_argument("script")
    parser.add_argument("--address", required=True, help="where the replica listens, HOST:PORT")
    parser.add_argument("--pid", type=int, help="the replica's process, for scripts that look at its memory")
    parser.epilog = "Arguments after -- are the script's."
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    given = parser.parse_args(words[:cut])
    facts = {"replica": "by-hand", "service": "by-hand", "address": given.address, "pid": given.pid, "probe": "by-hand"}
    os.environ[ENVIRONMENT] = json.dumps(facts)
    code = run_script(given.script, words[cut + 1 :])
    print(WORDS.get(code, f"unknown (exit code {code})"), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
