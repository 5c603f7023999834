"""Why a job is where it is, and what would help: facts in, findings out.

Whoever gathers the facts (:mod:`jobflow_remote.control.explain`) does not judge; whoever shows the findings does not
either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from jobflow_remote.model import lifecycle
from jobflow_remote.model.graph import edge_is_settled, settlement
from jobflow_remote.model.records import JobRecord, RunnerSession, tolerates_missing
from jobflow_remote.model.states import FlowState, JobState

S = JobState
_NAMED = 5
"""How many jobs a sentence names."""


class Weight(StrEnum):
    """How much a finding matters."""

    FINE = "fine"
    NOTE = "note"
    WAIT = "wait"
    """It will pass by itself."""
    PROBLEM = "problem"
    """It will not, or not soon."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is worth knowing."""

    weight: Weight
    about: str
    """One word: parents, worker, runner, …"""
    text: str
    commands: tuple[str, ...] = ()
    """What would help, to be typed."""


@dataclass(frozen=True, slots=True)
class Relative:
    """Another job, as far as it matters here."""

    db_id: str
    name: str
    state: JobState

    def __str__(self) -> str:
        return f"{self.db_id} ({self.name}) {self.state.value}"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps the runner from working with the worker in a step."""

    step: str
    since: datetime
    why: str
    next_try: datetime | None


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """The worker of a job."""

    name: str
    exists: bool = True
    """Whether the project has it."""
    known: tuple[str, ...] = ()
    """The workers that the project has."""
    limit: int | None = None
    """How many jobs it runs at a time."""
    in_scheduler: int = 0
    in_hand: int = 0
    ahead: int | None = None
    """READY jobs that come before this one."""
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What is known of a job and of what it depends on."""

    record: JobRecord
    now: datetime
    worker: WorkerFacts
    session: RunnerSession | None
    parents: tuple[Relative, ...] = ()
    """Parents in the queue, as their highest index is."""
    blockers: tuple[Relative, ...] = ()
    """Of a WAITING job: the jobs at the bottom of it, which wait for nobody and are not COMPLETED."""
    children: int = 0
    """How many jobs wait for this one."""
    moments: Mapping[str, str] = field(default_factory=dict)
    """Moments by name (since, next_try, …) as people read them."""

    @property
    def tolerant(self) -> bool:
        """Whether it may run without an output that will not come."""
        return tolerates_missing(self.record.job)

    @property
    def runner_is_live(self) -> bool:
        """Whether a runner works on the queue."""
        return self.session is not None and self.session.is_live(self.now)


def explain_job(facts: JobFacts) -> list[Finding]:
    """Why the job is where it is; the first finding says most."""
    if facts.record.superseded:
        text = "it was replaced when the job that brought it about was run again; it counts for nothing"
        return [Finding(Weight.NOTE, "state", text)]
    state = facts.record.state
    findings = _BY_STATE[state](facts)
    if state in lifecycle.UNFINISHED:
        # a job that waits for a person's word on another one does not care for the runner
        stuck = state is S.WAITING and any(each.weight is Weight.PROBLEM for each in findings)
        findings += [] if stuck else _about_runner(facts)
    return [*findings, *_about_children(facts)]


# -- by state --------------------------------------------------------------------------------------


def _waiting(facts: JobFacts) -> list[Finding]:
    outstanding = [
        parent
        for parent in facts.parents
        if not edge_is_settled(settlement(parent.state), tolerant=facts.tolerant)
    ]
    if not outstanding:
        text = "all jobs that it needs are done; it becomes READY with the next change of its flow"
        return [Finding(Weight.WAIT, "parents", text)]
    needed = f"it waits for {len(outstanding)} of {len(facts.parents)} jobs: {_some(outstanding)}"
    findings = [Finding(Weight.WAIT, "parents", needed)]
    stuck = [job for job in facts.blockers if job.state in _HELP]
    for state in dict.fromkeys(job.state for job in stuck):
        jobs = [job for job in stuck if job.state is state]
        text = f"nothing goes on before {_some(jobs)} {_HELP[state][0]}"
        findings.append(Finding(Weight.PROBLEM, "parents", text, _commands(jobs, _HELP[state][1])))
    moving = [job for job in facts.blockers if job.state in lifecycle.UNFINISHED]
    if moving and not {job.db_id for job in moving} <= {job.db_id for job in outstanding}:
        findings.append(Finding(Weight.WAIT, "parents", f"at the bottom of it: {_some(moving)}"))
    return findings


_HELP = {
    S.FAILED: ("is run again: it failed", "rerun"),
    S.REMOTE_ERROR: ("is tried again: the runner gave up on it", "retry"),
    S.PAUSED: ("is played: somebody paused it", "play"),
    S.STOPPED: ("is played: another job stopped it", "play"),
    S.USER_STOPPED: ("is played: somebody stopped it", "play"),
}
"""State that a person has to end → what has to happen, and the command for it."""


def _ready(facts: JobFacts) -> list[Finding]:
    findings = _about_worker(facts)
    if findings:
        return findings
    ahead = facts.worker.ahead
    if ahead:
        return [
            Finding(
                Weight.WAIT,
                "worker",
                f"{_jobs(ahead)} of worker {facts.worker.name} {_come(ahead)} before it",
            )
        ]
    return [Finding(Weight.WAIT, "state", "the runner takes it next")] if facts.runner_is_live else []


def _in_hand(doing: str) -> Callable[[JobFacts], list[Finding]]:
    def explain(facts: JobFacts) -> list[Finding]:
        findings = [*_about_attempts(facts), *_about_worker(facts)]
        return findings or [Finding(Weight.WAIT, "step", f"the runner {doing}")]

    return explain


def _submitted(facts: JobFacts) -> list[Finding]:
    remote = facts.record.remote
    said = _scheduler_says(facts)
    number = f" (queue id {remote['process_id']})" if remote.get("process_id") else ""
    text = f"the scheduler has it{number} and has not started it" + (f"; it says {said}" if said else "")
    findings = [
        Finding(Weight.WAIT, "scheduler", text),
        *_about_attempts(facts),
        *_about_worker(facts, limit=False),
    ]
    worker = facts.worker
    if worker.limit and worker.in_scheduler > worker.limit:
        findings.append(
            Finding(
                Weight.WAIT,
                "worker",
                f"worker {worker.name} runs {worker.limit} jobs at a time, and has {worker.in_scheduler}",
            )
        )
    return findings


def _running(facts: JobFacts) -> list[Finding]:
    since = facts.moments.get("start_time")
    said = _scheduler_says(facts)
    text = (
        f"it runs on {facts.worker.name}"
        + (f" since {since}" if since else "")
        + (f" ({said})" if said else "")
    )
    show = f"jf job queue-out {facts.record.db_id}"
    return [
        Finding(Weight.FINE, "state", text, (show,)),
        *_about_attempts(facts),
        *_about_worker(facts, limit=False),
    ]


def _completed(facts: JobFacts) -> list[Finding]:
    return [
        Finding(
            Weight.FINE,
            "state",
            "it is done, and its output is stored",
            (f"jf job output {facts.record.db_id}",),
        )
    ]


def _failed(facts: JobFacts) -> list[Finding]:
    number = facts.record.db_id
    return [
        Finding(
            Weight.PROBLEM,
            "error",
            f"its function raised: {_last_line(facts.record.error)}",
            (f"jf job info {number}", f"jf job rerun {number}"),
        )
    ]


def _remote_error(facts: JobFacts) -> list[Finding]:
    record = facts.record
    was = f" when it was {record.previous_state.value}" if record.previous_state else ""
    error = str(record.remote.get("error") or "no error is on record").strip()
    findings = [
        Finding(
            Weight.PROBLEM,
            "error",
            f"the runner gave up on it{was}: {error.splitlines()[0]}",
            (f"jf job info {record.db_id}", f"jf job retry {record.db_id}", f"jf job rerun {record.db_id}"),
        )
    ]
    said = _scheduler_says(facts)
    if said:
        findings.append(Finding(Weight.NOTE, "scheduler", f"the scheduler said {said}"))
    return [*findings, *_about_worker(facts, limit=False)]


def _held(facts: JobFacts) -> list[Finding]:
    record = facts.record
    entry = next((each for each in reversed(record.history) if each.get("state") == record.state.value), {})
    who, why = entry.get("who"), entry.get("why")
    since = facts.moments.get("since")
    verb = {S.PAUSED: "paused", S.STOPPED: "stopped by another job", S.USER_STOPPED: "stopped"}[record.state]
    parts = [
        f"it was {verb}",
        f"by {who}" if who and record.state is not S.STOPPED else "",
        f"at {since}" if since else "",
    ]
    text = " ".join(filter(None, parts)) + (f": {why}" if why else "")
    return [Finding(Weight.PROBLEM, "state", text, (f"jf job play {record.db_id}",))]


_BY_STATE: dict[JobState, Callable[[JobFacts], list[Finding]]] = {
    S.WAITING: _waiting,
    S.READY: _ready,
    S.CHECKED_OUT: _in_hand("writes its input into the run folder"),
    S.UPLOADED: _in_hand("hands it to the scheduler"),
    S.SUBMITTED: _submitted,
    S.BATCH_SUBMITTED: _submitted,
    S.RUNNING: _running,
    S.BATCH_RUNNING: _running,
    S.TERMINATED: _in_hand("fetches its results"),
    S.DOWNLOADED: _in_hand("stores its output"),
    S.COMPLETED: _completed,
    S.FAILED: _failed,
    S.REMOTE_ERROR: _remote_error,
    S.PAUSED: _held,
    S.STOPPED: _held,
    S.USER_STOPPED: _held,
}


# -- by what it depends on -------------------------------------------------------------------------


def _about_worker(facts: JobFacts, *, limit: bool = True) -> list[Finding]:
    worker, state = facts.worker, facts.record.state
    if not worker.exists:
        choice = worker.known[0] if worker.known else "NAME"
        return [
            Finding(
                Weight.PROBLEM,
                "worker",
                f"the project has no worker {worker.name}; it has {', '.join(worker.known) or 'none'}",
                (f"jf job set worker {choice} -did {facts.record.db_id}",),
            )
        ]
    steps = lifecycle.next_steps(state)
    troubles = [trouble for trouble in worker.troubles if trouble.step in steps]
    if (
        not troubles and state is S.READY
    ):  # what keeps others from being uploaded keeps this one from being taken
        troubles = list(worker.troubles)
    if troubles:
        return [_down(facts, troubles[0])]
    # jobs of a worker with a limit are taken a little ahead of it; how far is the runner's business
    if (
        limit
        and worker.limit
        and state in (S.READY, S.CHECKED_OUT, S.UPLOADED)
        and worker.in_hand >= worker.limit
    ):
        text = f"worker {worker.name} runs {_jobs(worker.limit)} at a time, and has {worker.in_hand} in hand"
        return [Finding(Weight.WAIT, "worker", text, ("jf worker list -v",))]
    return []


def _down(facts: JobFacts, trouble: Trouble) -> Finding:
    since = facts.moments.get(f"since {trouble.step}", "")
    next_try = facts.moments.get(f"next_try {trouble.step}")
    text = (
        f"worker {facts.worker.name} is down" + (f" since {since}" if since else "") + f" ({trouble.step}): "
        f"{trouble.why.strip().splitlines()[0] if trouble.why.strip() else 'the runner does not say why'}"
        + (f"; next try {next_try}" if next_try else "")
    )
    return Finding(
        Weight.PROBLEM, "worker", text, ("jf worker list -v", f"jf project check -w {facts.worker.name}")
    )


def _about_attempts(facts: JobFacts) -> list[Finding]:
    record = facts.record
    retry = record.remote.get("retry_time_limit")
    failures = record.step_attempts
    error = str(record.remote.get("error") or "").strip()
    next_try = facts.moments.get("next_try")
    if failures and error:
        step = " and ".join(lifecycle.next_steps(record.state))
        when = (
            f"; next try {next_try}"
            if retry and retry > facts.now and next_try
            else "; it is tried again now"
        )
        text = f"{step} failed {failures} time{'s' if failures != 1 else ''}: {error.splitlines()[0]}{when}"
        return [
            Finding(
                Weight.PROBLEM,
                "attempts",
                text,
                (f"jf job info {record.db_id}", f"jf job retry {record.db_id}"),
            )
        ]
    if retry and retry > facts.now:
        return [
            Finding(
                Weight.WAIT,
                "attempts",
                f"the runner goes on at {next_try}, as it was told to (delay_download)",
            )
        ]
    return []


def _about_runner(facts: JobFacts) -> list[Finding]:
    session = facts.session
    if session is None:
        return [Finding(Weight.PROBLEM, "runner", "no runner works on this queue", ("jf runner start",))]
    owner = f"{session.owner.get('user')}@{session.owner.get('hostname')}"
    if not session.is_live(facts.now):
        ended = facts.moments.get("lease")
        text = f"the runner of {owner} has not been heard of since its lease ended" + (
            f" at {ended}" if ended else ""
        )
        return [Finding(Weight.PROBLEM, "runner", text, ("jf runner status", "jf runner start"))]
    findings = [Finding(Weight.FINE, "runner", f"the runner of {owner} is active")]
    if session.stop_requested:
        findings = [
            Finding(Weight.PROBLEM, "runner", f"the runner of {owner} was told to stop", ("jf runner start",))
        ]
    claim = facts.record.claim
    if claim and claim != session.token:
        text = "it still belongs to a runner that has gone; the present one takes it over"
        findings.append(Finding(Weight.NOTE, "claim", text))
    return findings


def _about_children(facts: JobFacts) -> list[Finding]:
    if not facts.children or facts.record.state is S.COMPLETED:
        return []
    return [
        Finding(
            Weight.NOTE,
            "children",
            f"{_jobs(facts.children)} {'waits' if facts.children == 1 else 'wait'} for it",
        )
    ]


# -- words -----------------------------------------------------------------------------------------


def _jobs(number: int) -> str:
    return f"{number} job{'s' if number != 1 else ''}"


def _come(number: int) -> str:
    return "comes" if number == 1 else "come"


def _some(jobs: Sequence[Relative]) -> str:
    more = f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else ""
    return ", ".join(str(job) for job in jobs[:_NAMED]) + more


def _commands(jobs: Sequence[Relative], command: str) -> tuple[str, ...]:
    if len(jobs) > 1:
        ids = " ".join(f"-did {job.db_id}" for job in jobs[:_NAMED])
        return (f"jf job {command} {ids}",)
    return tuple(f"jf job {command} {job.db_id}" for job in jobs)


def _last_line(text: str | None) -> str:
    lines = (text or "").strip().splitlines()
    return lines[-1] if lines else "no error is on record"


def _scheduler_says(facts: JobFacts) -> str:
    remote = facts.record.remote
    return ": ".join(str(remote[key]) for key in ("queue_state", "reason") if remote.get(key))


# -- flows -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """What is known of a flow."""

    uuid: str
    state: FlowState
    counts: Mapping[str, int]
    """State → number of its jobs."""
    now: datetime
    session: RunnerSession | None
    held: tuple[Relative, ...] = ()
    """Jobs that wait for a person, the oldest first."""
    moving: tuple[JobFacts, ...] = ()
    """Some of the jobs that the runner has in hand or should take."""


def explain_flow(facts: FlowFacts) -> list[Finding]:
    """Why the flow is where it is."""
    numbers = {JobState(state): number for state, number in facts.counts.items() if number}
    total = sum(numbers.values())
    said = ", ".join(f"{numbers[state]} {state.value}" for state in S if state in numbers)
    done = facts.state is FlowState.COMPLETED
    findings = [Finding(Weight.FINE if done else Weight.NOTE, "jobs", f"{_jobs(total)}: {said or 'none'}")]
    for state, (text, command) in _HELP.items():
        jobs = [job for job in facts.held if job.state is state]
        if jobs and not done:
            sentence = f"{_some(jobs)}: {'each' if len(jobs) > 1 else 'it'} waits until it {text}"
            findings.append(Finding(Weight.PROBLEM, "held", sentence, _commands(jobs, command)))
    seen: set[tuple[str, str]] = set()
    for job in facts.moving:
        for finding in explain_job(job):
            if finding.about in ("runner", "children", "claim") or (finding.about, finding.text) in seen:
                continue
            seen.add((finding.about, finding.text))
            text = f"job {job.record.db_id} ({job.record.name}) is {job.record.state.value}: {finding.text}"
            findings.append(Finding(finding.weight, finding.about, text, finding.commands))
    if facts.moving:
        findings += _about_runner(facts.moving[0])
    elif not done and numbers.keys() <= {S.WAITING, S.COMPLETED, *_HELP} and S.WAITING in numbers:
        findings.append(Finding(Weight.NOTE, "jobs", "nothing of it can go on by itself"))
    return findings
