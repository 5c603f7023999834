"""``python -m tests.shows PART [OPTIONS]``."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

PARTS = {
    "main-job": "tests.shows.main_job",
    "mongodb": "tests.shows.mongodb",
    "clusters": "tests.shows.clusters",
    "commands": "tests.shows.commands",
    "web": "tests.shows.web",
    "pilots": "tests.shows.pilots",
    "local": "tests.shows.local",
}


def main() -> int:
    """Run a part; its options are its own (``--help``)."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave no runner behind
    words = sys.argv[1:]
    if not words or words[0] not in PARTS:
        print(f"python -m tests.shows PART [OPTIONS]; parts: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    code: int = import_module(PARTS[words[0]]).main(words[1:])
    return code


if __name__ == "__main__":
    sys.exit(main())
