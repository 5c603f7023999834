"""The options that say which jobs or flows, as two bundles, and what they select."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobflow_remote.cli import types as t
from jobflow_remote.cli.jfr_typer import OptionBundle
from jobflow_remote.control import ids
from jobflow_remote.errors import JobflowRemoteError, NotFoundError
from jobflow_remote.model.clock import local_to_stored
from jobflow_remote.model.selection import FlowSelection, JobSelection
from jobflow_remote.model.states import JobState

if TYPE_CHECKING:
    from jobflow_remote.queuedb.port import QueueDatabase


def _check_one_of(values: dict[str, Any]) -> None:
    given = [name for name, value in values.items() if value is not None]
    if len(given) > 1:
        raise JobflowRemoteError(
            f"options {' and '.join(given)} cannot be used together", hint="keep one of them"
        )


def _period(
    start: datetime | None, end: datetime | None, days: int | None, hours: int | None
) -> tuple[datetime | None, datetime | None]:
    """Bounds as they are stored, from what was typed in local time."""
    _check_one_of({"--start-date": start, "--days": days, "--hours": hours})
    _check_one_of({"--end-date": end, "--days": days, "--hours": hours})
    if days is not None or hours is not None:
        start = datetime.now() - timedelta(days=days or 0, hours=hours or 0)
    return (local_to_stored(start) if start else None, local_to_stored(end) if end else None)


def whole_job_ids(queue: QueueDatabase, job_ids: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The same with whole uuids."""
    return [
        (uuid, index) if ids.is_uuid(uuid) else ids.resolve_job(queue, uuid, index) for uuid, index in job_ids
    ]


def whole_db_ids(queue: QueueDatabase, given: Sequence[str]) -> list[str]:
    """The DB ids of jobs, whatever id of theirs was given; what means nothing is left as it is."""
    found = []
    for each in given:
        may_be_uuid = ids.is_uuid(each) or ids.is_prefix(each)
        job = ids.find_job(queue, each, fields=("uuid", "index", "db_id")) if may_be_uuid else None
        found.append(job["db_id"] if job else each)
    return found


@dataclass(frozen=True)
class JobQuery(OptionBundle):
    """Which jobs: all of the criteria must hold."""

    job_id: t.JobIds = None
    db_id: t.DbIds = None
    flow_id: t.FlowIds = None
    state: t.JobStates = None
    start_date: t.StartDate = None
    end_date: t.EndDate = None
    name: t.Name = None
    metadata: t.Metadata = None
    days: t.Days = None
    hours: t.Hours = None
    worker: t.Workers = None
    query: t.Query = None

    @property
    def is_empty(self) -> bool:
        """Whether no option was given: every job is meant."""
        return all(value is None for value in vars(self).values())

    def select(
        self,
        queue: QueueDatabase,
        *,
        more_states: Sequence[JobState] = (),
        more_flows: Sequence[str] | None = None,
        locked: bool = False,
    ) -> JobSelection:
        """The selection that the options describe.

        Raises
        ------
        NotFoundError
            If an id of a flow means nothing.
        """
        start, end = _period(self.start_date, self.end_date, self.days, self.hours)
        states = list(dict.fromkeys([*(self.state or ()), *more_states]))
        flows = [ids.resolve_flow(queue, each) for each in self.flow_id] if self.flow_id else more_flows
        return JobSelection(
            job_ids=whole_job_ids(queue, self.job_id) if self.job_id else None,
            db_ids=whole_db_ids(queue, self.db_id) if self.db_id else None,
            flow_ids=flows,
            states=states or None,
            start=start,
            end=end,
            name=self.name,
            metadata=self.metadata,
            workers=self.worker,
            locked=locked,
            query=self.query,
        )


@dataclass(frozen=True)
class FlowQuery(OptionBundle):
    """Which flows: all of the criteria must hold."""

    job_id: t.JobUuids = None
    db_id: t.DbIds = None
    flow_id: t.FlowIds = None
    state: t.FlowStates = None
    start_date: t.StartDate = None
    end_date: t.EndDate = None
    name: t.Name = None
    days: t.Days = None
    hours: t.Hours = None
    query: t.Query = None

    @property
    def is_empty(self) -> bool:
        """Whether no option was given: every flow is meant."""
        return all(value is None for value in vars(self).values())

    def select(
        self, queue: QueueDatabase, *, metadata: dict[str, Any] | None = None, locked: bool = False
    ) -> FlowSelection:
        """The selection that the options describe."""
        start, end = _period(self.start_date, self.end_date, self.days, self.hours)
        return FlowSelection(
            flow_ids=self._flows(queue),
            states=self.state,
            start=start,
            end=end,
            name=self.name,
            metadata=metadata,
            locked=locked,
            query=self.query,
        )

    def _flows(self, queue: QueueDatabase) -> list[str] | None:
        """Flows that satisfy all of the options with ids; None if there is no such option."""
        chosen: list[set[str]] = []
        if self.flow_id:
            chosen.append({ids.resolve_flow(queue, each) for each in self.flow_id})
        for given in (self.job_id, self.db_id):
            if given:
                chosen.append({uuid for each in given if (uuid := _flow_of_job(queue, each))})
        return sorted(set.intersection(*chosen)) if chosen else None


def _flow_of_job(queue: QueueDatabase, identifier: str) -> str | None:
    try:
        return ids.resolve_flow(queue, identifier, is_job=True)
    except NotFoundError:
        return None
