"""How a job is to run, as far as a person changes it, and in which states that can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobflow_remote.errors import NotAllowedError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.decide.hold import named
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState

SETTABLE = frozenset(
    {
        JobState.READY, JobState.WAITING, JobState.COMPLETED, JobState.FAILED, JobState.PAUSED,
        JobState.REMOTE_ERROR, JobState.STOPPED, JobState.USER_STOPPED,
    }
)  # fmt: skip
"""States in which worker, exec_config and resources can be set: the runner has not the job in hand."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a job runs, as far as it is to be changed; None: as it is."""

    worker: str | None = None
    exec_config: str | Mapping[str, Any] | None = None
    resources: Mapping[str, Any] | None = None
    priority: int | None = None
    merge: bool = True
    """Keep the keys of resources and exec_config that are not given."""

    def fields(self, record: JobRecord) -> dict[str, Any]:
        """What is written into the document of a job.

        Raises
        ------
        NotAllowedError
            If plain resources were to be mixed into the QResources of a job.
        """
        found: dict[str, Any] = {}
        if self.worker is not None:
            found["worker"] = self.worker
        if self.priority is not None:
            found["priority"] = self.priority
        for name in ("exec_config", "resources"):
            given = getattr(self, name)
            if given is not None:
                found[name] = self._merged(record, name, given)
        return found

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be changed."""
        return self == RunSettings(merge=self.merge)

    @property
    def touches_the_run(self) -> bool:
        """Whether more than the priority is to be changed: what the runner has in hand runs as it was rendered."""
        return any(given is not None for given in (self.worker, self.exec_config, self.resources))

    def check_settable(self, record: JobRecord) -> None:
        """Refuse to change how a job runs that the runner has in hand.

        Raises
        ------
        NotAllowedError
            The message names the states in which it can be done.
        """
        if self.touches_the_run and record.state not in SETTABLE:
            raise NotAllowedError(
                f"cannot change how {named(record)} runs while it is {record.state.value}",
                hint=f"possible in {lifecycle.describe(SETTABLE)}; `jf job stop` or `jf job rerun` it first",
            )

    def _merged(self, record: JobRecord, name: str, new: Any) -> Any:
        old = getattr(record, name)
        if isinstance(new, str):
            return new
        if not self.merge or not isinstance(old, Mapping) or "@class" in new:
            return dict(new)
        unknown = [key for key in new if "@class" in old and key not in old]
        if unknown:
            raise NotAllowedError(
                f"the {name} of {named(record)} are a {old['@class']}, which has no {', '.join(unknown)}",
                hint="--replace forgets the present ones, --qresources gives a QResources",
            )
        return {**old, **new}


AS_IS = RunSettings()
