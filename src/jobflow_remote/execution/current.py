"""The job's own record, for its function to read while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


class JfrState:
    """State of the process that runs a job."""

    def __init__(self) -> None:
        self.job_doc: JobDocView | None = None
        """Document of the running job, as it was at upload, without the job itself; None outside of a job."""

    def reset(self) -> None:
        """Forget the job."""
        self.job_doc = None


CURRENT_JOBDOC = JfrState()
