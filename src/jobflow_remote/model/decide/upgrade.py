"""What becomes of the database of an older release (0.1.x, 1.0.x): documents, and whether it may be touched at all.

Pure decisions; :mod:`jobflow_remote.queuedb` counts and writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from jobflow_remote.layout import FORMER_ATTEMPT
from jobflow_remote.model import lifecycle
from jobflow_remote.model.records import Document, history_entry, remote_defaults
from jobflow_remote.model.states import BatchState, JobState

FIRST_VERSION = "0.1.0"
"""Of a database that does not say which release wrote it."""
_RENAMED_IN = (1, 0)
"""The release that renamed states and the folders of batch workers."""
_RECENT = timedelta(hours=2)
"""A runner of an older release says now and then that it is there, about once an hour."""
_FIELDS: Document = {
    "priority": 0,
    "parents": [],
    "previous_state": None,
    "error": None,
    "run_dir": None,
    "start_time": None,
    "end_time": None,
    "exec_config": None,
    "resources": None,
    "stored_data": None,
    "superseded": False,
    "generated_by": None,
}
"""What a job's document has, and what stands there if an older release wrote none."""
_FREE: Document = {"claim": None, "lock_id": None, "lock_time": None}
"""Nobody holds it."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in a database that an older release wrote."""

    version: str
    jobflow_version: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Package → version, as recorded."""
    jobs: int = 0
    flows: int = 0
    jobs_left: int = 0
    """Jobs that are still to be brought up to date: fewer than there are if a former attempt was cut short."""
    flows_left: int = 0
    renamed_states: int = 0
    locked_jobs: int = 0
    locked_flows: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    runner: Mapping[str, Any] | None = None
    """The runner that is registered, as the older release describes it."""
    runner_locked: bool = False
    last_ping: Mapping[str, Any] | None = None
    legacy_batches: Mapping[str, Any] | None = None
    """Content of ``batch_processes`` (before 1.0)."""
    batches: Mapping[str, int] = field(default_factory=dict)
    """State → number of processes of batch workers."""
    former_indexes: int = 0

    @property
    def is_resumed(self) -> bool:
        """Whether a former attempt was cut short."""
        return self.jobs_left < self.jobs or self.flows_left < self.flows


@dataclass(frozen=True, slots=True)
class UpgradeOrder:
    """What an adapter is to do."""

    who: str
    versions: Document
    """``jobflow_remote_version``, ``jobflow_version``, ``full_environment``."""
    came_from: str
    remote_workers: frozenset[str] = frozenset()
    """Workers on other machines: results that were fetched from there are fetched again."""


@dataclass(frozen=True, slots=True)
class Action:
    """One line of what will be done."""

    what: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why it must not be done now."""

    what: str
    skippable: bool
    """Whether a person may insist (``--force``)."""


def parse_version(text: str) -> tuple[int, ...]:
    """``1.0.1`` → (1, 0, 1); what follows the numbers (``rc1``, ``.dev3``) does not count."""
    numbers = []
    for part in text.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


def uses_former_names(version: str) -> bool:
    """Whether the release is one before states and folders were renamed."""
    return parse_version(version) < _RENAMED_IN


def decide_actions(survey: Survey) -> list[Action]:
    """What an upgrade will do, with numbers."""
    lines = [
        Action("jobs get our own fields (flow_uuid, db_number, claim, history, …)", survey.jobs_left),
        Action("flows get counters, and lists that agree with their jobs", survey.flows_left),
        Action("jobs in state RUN_FINISHED (or that remember it) become TERMINATED", survey.renamed_states),
        Action(
            "jobs that are UPLOADED become CHECKED_OUT, and are uploaded anew", survey.states.get("UPLOADED")
        ),
        Action("locks that a runner left on jobs are removed", survey.locked_jobs),
        Action("locks that a runner left on flows are removed", survey.locked_flows),
        Action("the lock on the runner's document is removed", int(survey.runner_locked)),
        Action("the runner that is registered is forgotten", int(survey.runner is not None)),
        Action("the former document of batch processes is removed", int(survey.legacy_batches is not None)),
        Action("indexes that nothing uses any more are dropped", survey.former_indexes),
    ]
    always = [Action("indexes are built"), Action("the versions of jobflow-remote and jobflow are noted")]
    return [line for line in lines if line.number] + always


def decide_obstacles(survey: Survey, *, here: Mapping[str, Any], is_alive: bool) -> list[Obstacle]:
    """Why the database must not be touched now.

    Parameters
    ----------
    here
        ``hostname`` and ``daemon_dir`` of the project on this machine.
    is_alive
        Whether a process of a runner of the project is alive on *this* machine.
    """
    return [*_runner_obstacles(survey.runner, here, is_alive), *_batch_obstacles(survey)]


def _runner_obstacles(
    runner: Mapping[str, Any] | None, here: Mapping[str, Any], is_alive: bool
) -> list[Obstacle]:
    if is_alive:
        return [
            Obstacle("the runner works on this machine: stop it with `jf runner shutdown`", skippable=False)
        ]
    if runner is None or all(runner.get(key) == here[key] for key in here):
        return []
    who = f"{runner.get('user') or 'somebody'} on {runner.get('hostname')} ({runner.get('daemon_dir')})"
    said = f"a runner of {who} is registered, and cannot be seen from here: stop it there with `jf runner shutdown`"
    return [Obstacle(said, skippable=True)]


def _batch_obstacles(survey: Survey) -> list[Obstacle]:
    if not uses_former_names(survey.version):
        return []
    found = []
    running = sum(number for state, number in survey.batches.items() if state != BatchState.FINISHED.value)
    if running:
        said = f"{running} processes of batch workers run, and use folders that will be renamed: let them end"
        found.append(Obstacle(said, skippable=False))
    if any((survey.legacy_batches or {}).values()):
        said = "processes of batch workers are recorded (batch_processes): let them end, or cancel them"
        found.append(Obstacle(said, skippable=True))
    return found


def decide_notes(survey: Survey, now: datetime) -> list[str]:
    """What a person should know before."""
    notes = []
    if survey.is_resumed:
        notes.append("a former attempt was cut short: what it has done stays")
    in_flight = {
        state: number
        for state, number in survey.states.items()
        if state in ("SUBMITTED", "RUNNING", "RUN_FINISHED", "TERMINATED", "DOWNLOADED") and number
    }
    if in_flight:
        counted = ", ".join(f"{number} {state}" for state, number in sorted(in_flight.items()))
        notes.append(f"jobs in flight go on and are looked after by the new runner: {counted}")
    if survey.states.get("UPLOADED") and survey.locked_jobs:
        notes.append(
            "if the old runner was killed while it submitted a job that is UPLOADED, that job may be in the queue of "
            "the scheduler already: look there first"
        )
    ping = survey.last_ping
    if survey.runner is None and ping and now - ping["time"] < _RECENT:
        notes.append(
            f"a runner on {ping.get('hostname')} was heard of at {ping['time']:%Y-%m-%d %H:%M} UTC: make sure that "
            "none runs in the foreground"
        )
    return notes


# -- documents -----------------------------------------------------------------------------------------------


def number_of(db_id: str, *, prefix: str, next_id: int) -> int:
    """The number in a ``db_id``. A prefix that is not the project's (any more) may end with digits too."""
    if prefix and db_id.startswith(prefix) and db_id[len(prefix) :].isdigit():
        return int(db_id[len(prefix) :])
    digits = db_id[len(db_id.rstrip("0123456789")) :]
    for start in range(len(digits)):
        if digits[start] != "0" and int(digits[start:]) < next_id:
            return int(digits[start:])
    return int(digits or 0)


def flow_of(job: Mapping[str, Any]) -> str:
    """uuid of the flow of a serialised job: the outermost of its hosts."""
    hosts = job.get("hosts") or [job.get("uuid")]
    return str(hosts[-1])


def _present_state(value: str | None, document: Document, order: UpgradeOrder) -> JobState | None:
    """Under its present name; and where the next step would need what only the former runner has, the one before."""
    state = None if value is None else JobState(value)
    if state is JobState.UPLOADED:  # its input file names no attempt
        return JobState.CHECKED_OUT
    if state is JobState.DOWNLOADED and document.get("worker") in order.remote_workers:
        return JobState.TERMINATED
    return state


def _attempt(state: JobState | None, number: int) -> str | None:
    """Jobs in flight are known by an attempt; whoever starts anew gets another one."""
    if state is JobState.CHECKED_OUT:
        return uuid4().hex
    return f"{FORMER_ATTEMPT}{number}" if state in lifecycle.ACTIVE else None


def upgrade_job(
    document: Document, *, prefix: str, next_id: int, now: datetime, order: UpgradeOrder
) -> Document:
    """Fields that are to be written to a job's document (top level; ``parents`` and inputs stay as they are)."""
    db_id = str(document["db_id"])
    number = number_of(db_id, prefix=prefix, next_id=next_id)
    state = _present_state(document["state"], document, order) or JobState.REMOTE_ERROR
    previous = _present_state(document.get("previous_state"), document, order)
    remote = {**remote_defaults(), **(document.get("remote") or {})}
    if remote["process_id"] is not None:
        remote["process_id"] = str(remote["process_id"])
    why = f"jobflow-remote {order.came_from} left it {document['state']}"
    entry = history_entry(state, now, event="upgrade", who=order.who, why=why)
    return {
        **{name: value for name, value in _FIELDS.items() if name not in document},
        **_FREE,
        "state": state.value,
        "previous_state": previous.value if previous else None,
        "remote": remote,
        "db_id": db_id,
        "db_number": number,
        "flow_uuid": document.get("flow_uuid") or flow_of(document.get("job") or {}),
        "attempt": _attempt(previous if state is JobState.REMOTE_ERROR else state, number),
        "history": [*(document.get("history") or ()), entry],
    }


def upgrade_flow(document: Document) -> Document:
    """Fields that are to be written to a flow's document, beside what is worked out from its jobs."""
    usual: Document = {"metadata": {}, "jobstore": None}
    fields = {name: value for name, value in usual.items() if name not in document}
    return {**fields, "name": document.get("name") or "", "lock_id": None, "lock_time": None}


def recovered_flow(uuid: str, jobs: Iterable[Document], now: datetime) -> Document:
    """A flow for jobs whose own one is missing."""
    moments = [job["created_on"] for job in jobs if job.get("created_on")]
    return {
        "uuid": uuid, "name": "recovered", "state": "READY", "created_on": min(moments, default=now),
        "updated_on": now, "metadata": {}, "jobstore": None, "lock_id": None, "lock_time": None,
    }  # fmt: skip


def batch_folders_command(folder: str, quote: Any) -> str:
    """Shell command that gives the folder of finished jobs of a batch worker its present name; may be repeated."""
    return (
        f"cd {quote(folder)} 2>/dev/null || exit 0; [ -d terminated ] || exit 0; mkdir -p run_finished && "
        "find terminated -mindepth 1 -maxdepth 1 -exec mv {} run_finished/ ';' && rmdir terminated"
    )
