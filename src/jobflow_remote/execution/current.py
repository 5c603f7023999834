"""The job's own record, for its function to read while it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


def _shown(value: Any) -> Any:
    return JobDocView(value) if isinstance(value, dict) else value


class JobDocView(Mapping[str, Any]):
    """A document read by attribute (``job_doc.remote.process_id``) or by key (``job_doc["db_id"]``)."""

    __slots__ = ("_document",)

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return _shown(self._document[name])
        except KeyError:
            raise AttributeError(f"the job's document has no field {name!r}") from None

    def __getitem__(self, key: str) -> Any:
        return _shown(self._document[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def __repr__(self) -> str:
        return f"JobDocView({self._document!r})"

    @property
    def job(self) -> Any:
        """The jobflow Job that is running."""
        from jobflow import CURRENT_JOB

        return CURRENT_JOB.job

    def as_dict(self) -> dict[str, Any]:
        """The plain document."""
        return self._document


@dataclass(frozen=True, slots=True)
class JobPlace:
    """Where a pilot runs the job, and what the job may use there."""

    pilot: str
    nodes: tuple[str, ...]
    """It begins on the first."""
    cores: tuple[int, ...] = ()
    """On each node; none: the pilot gives out places and not cores."""
    gpus: tuple[str, ...] = ()
    gpu_share: float = 0.0
    """Of each of ``gpus``."""
    memory_mb: int | None = None
    """None: nobody counts it."""


class JfrState:
    """State of the process that runs a job."""

    def __init__(self) -> None:
        self.job_doc: JobDocView | None = None
        """Document of the running job, as it was at upload, without the job itself; None outside of a job."""

    @property
    def place(self) -> JobPlace | None:
        """What the pilot gave the job; None: it does not run in one."""
        told = os.environ
        if "JFREMOTE_PILOT" not in told:
            return None
        memory = told.get("JFREMOTE_MEMORY_MB")
        return JobPlace(
            pilot=told["JFREMOTE_PILOT"],
            nodes=tuple(told.get("JFREMOTE_NODES", "").split(",")),
            cores=tuple(int(number) for number in told.get("JFREMOTE_CORES", "").split(",") if number),
            gpus=tuple(filter(None, told.get("JFREMOTE_GPUS", "").split(","))),
            gpu_share=float(told.get("JFREMOTE_GPU_SHARE") or 0),
            memory_mb=int(memory) if memory else None,
        )

    def reset(self) -> None:
        """Forget the job."""
        self.job_doc = None


CURRENT_JOBDOC = JfrState()
