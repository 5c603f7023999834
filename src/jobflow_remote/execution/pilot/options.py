"""What a pilot was told on its command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PilotOptions:
    """See ``jf execution run-batch --help``."""

    base_run_dir: str
    files_dir: str
    batch_uid: str
    max_time: float | None = None
    max_wait: float = 60.0
    max_jobs: int | None = None
    parallel_jobs: int | None = None
    sleep_time: float | None = None
    lease: float = 120.0
    preload: tuple[str, ...] = ()
    reuse: bool = False
    pack: bool = False
