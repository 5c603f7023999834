"""What scripts of jobflow-remote 1.0.1 catch. Nothing is locked for long any more: most of it is never raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from jobflow_remote.errors import LockedError as LockedDocumentError
from jobflow_remote.errors import NotFoundError as MissingDocumentError
from jobflow_remote.errors import RunnerActiveError

__all__ = [
    "FlowLockedError",
    "JobLockedError",
    "LockedDocumentError",
    "MissingDocumentError",
    "RunnerLockedError",
]


def _describe(what: str, doc: Mapping[str, Any], additional_msg: str | None) -> str:
    text = f"{what} is locked by {doc.get('lock_id')} since {doc.get('lock_time')}"
    return f"{text}. {additional_msg}" if additional_msg else text


class RunnerLockedError(RunnerActiveError):
    """The record of the runner is locked."""

    @classmethod
    def from_runner_doc(cls, doc: Mapping[str, Any], additional_msg: str | None = None) -> Self:
        """From the document of the runner."""
        return cls(_describe("the runner", doc, additional_msg))


class JobLockedError(LockedDocumentError):
    """The record of a job is locked."""

    @classmethod
    def from_job_doc(cls, doc: Mapping[str, Any], additional_msg: str | None = None) -> Self:
        """From the document of the job."""
        return cls(_describe(f"job {doc.get('db_id')} ({doc.get('uuid')})", doc, additional_msg))


class FlowLockedError(LockedDocumentError):
    """The record of a flow is locked."""

    @classmethod
    def from_flow_doc(cls, doc: Mapping[str, Any], additional_msg: str | None = None) -> Self:
        """From the document of the flow."""
        return cls(_describe(f"flow {doc.get('uuid')}", doc, additional_msg))
