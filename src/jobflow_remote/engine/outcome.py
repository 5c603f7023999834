"""What a step returns for each record that it was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState


@dataclass(frozen=True, slots=True)
class Advance:
    """The job goes on to ``to``."""

    record: JobRecord
    event: str
    to: JobState
    fields: Mapping[str, Any] = field(default_factory=dict)
    why: str | None = None

    def change_set(self, holder: str) -> ChangeSet:
        """The change that is asked of the queue database; a step that worked forgets earlier failures of it."""
        cleared: dict[str, Any] = {
            "remote.error": None,
            "remote.retry_time_limit": None,
            "remote.step_attempts": 0,
        }
        change = JobChange(
            uuid=self.record.uuid,
            index=self.record.index,
            expect=frozenset({self.record.state}) & lifecycle.sources(self.event),
            to=self.to,
            fields=cleared | dict(self.fields),
            holder=holder,
            attempt=self.record.attempt,
            event=self.event,
            why=self.why,
        )
        return ChangeSet(self.record.flow_uuid, (change,))


@dataclass(frozen=True, slots=True)
class Noted:
    """The job stays where it is; something about it is worth telling people."""

    record: JobRecord
    fields: Mapping[str, Any]

    def change_set(self, holder: str) -> ChangeSet:
        """The change that is asked of the queue database; the history does not mention it."""
        change = JobChange(
            uuid=self.record.uuid,
            index=self.record.index,
            expect=frozenset({self.record.state}),
            fields=self.fields,
            holder=holder,
            attempt=self.record.attempt,
        )
        return ChangeSet(self.record.flow_uuid, (change,))


@dataclass(frozen=True, slots=True)
class Finish:
    """The job's end, with all that it means for its flow."""

    record: JobRecord
    changes: ChangeSet


@dataclass(frozen=True, slots=True)
class Failed:
    """The step did not work for this job; the error's class says what follows."""

    record: JobRecord
    error: Exception
    fields: Mapping[str, Any] = field(default_factory=dict)


Outcome = Advance | Noted | Finish | Failed
