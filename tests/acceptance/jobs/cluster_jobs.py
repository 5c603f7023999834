"""Jobs that leave traces on the node where they run."""

from __future__ import annotations

import os
import sys
import time

from jobflow import job


@job
def leave_mark(path: str, number: int, seconds: float = 0) -> int:
    """Append a line to a file of the node: who ran, and how often, can be read there."""
    with open(path, "a", encoding="ascii") as file:
        file.write(f"{number}\n")
    time.sleep(seconds)
    return number


@job
def complain_and_sleep(words: str, seconds: float) -> None:
    """Say something on the error stream, then do nothing for long."""
    print(words, file=sys.stderr, flush=True)
    time.sleep(seconds)


@job
def fill_memory(words: str, megabytes: int) -> int:
    """Use memory, really, until somebody ends it."""
    print(words, file=sys.stderr, flush=True)
    kept = []
    for _ in range(megabytes):
        kept.append(os.urandom(1 << 20))
        time.sleep(0.005)
    time.sleep(60)
    return len(kept)
