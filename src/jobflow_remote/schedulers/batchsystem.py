"""A batch system as a scheduler: what the scripts of :mod:`.hostscripts` answer, and what follows from it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobflow_remote.errors import SchedulerBusyError, SchedulerError
from jobflow_remote.hosts.port import CommandResult
from jobflow_remote.schedulers import hostscripts
from jobflow_remote.schedulers.dialect import Dialect, Left, Listed
from jobflow_remote.schedulers.header import render_directives, user_name_of
from jobflow_remote.schedulers.hostscripts import HostOptions
from jobflow_remote.schedulers.naming import is_of_attempt, job_name
from jobflow_remote.schedulers.port import HostJob, HostJobState, HostJobStatus, Scheduler, SubmitAnswer

_STUCK_SECONDS = 60
"""A job whose script ended so long ago has ended, even if the scheduler still lists it."""
_GONE_SECONDS = 30
"""A job that the scheduler does not know for so long, and that left no trace, is lost."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the run folder tells about an attempt that the listing does not settle."""

    process_id: str | None
    marked: bool
    """It was submitted by a script of ours, so that its name carries the attempt."""
    started: bool
    exit_code: int | None
    exit_age_seconds: int
    has_result: bool
    gone: str
    """Seconds since it was first missed, ``missing`` if its folder is; empty if it is listed."""


@dataclass
class StatusAnswer:
    """The answer of the status script, taken apart."""

    list_code: int | None = None
    listing: str = ""
    past: str = ""
    facts: dict[str, Facts] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)
    whole: bool = False


class BatchSystem(Scheduler):
    """Slurm and the like: jobs wait in a queue, run elsewhere, and are asked about by their ids.

    Parameters
    ----------
    io
        The qtoolkit object that renders directives.
    """

    def __init__(self, dialect: Dialect, io: Any, options: HostOptions | None = None) -> None:
        self.dialect, self.io = dialect, io
        self.options = options or HostOptions()

    @property
    def query_key(self) -> Hashable:
        return (type(self.dialect), self.options.username)

    # -- submission ----------------------------------------------------------------------------------------------

    def render_header(
        self, *, name: str, run_dir: str, resources: Mapping[str, Any], attempt: str = ""
    ) -> str:
        if any(ord(letter) < 32 for letter in run_dir):
            raise SchedulerError(f"the run folder {run_dir!r} has a control character in its name")
        own_name = user_name_of(self.io, resources) or name
        place = self.dialect.place(job_name(own_name, attempt, self.dialect.longest_name), run_dir)
        directives = render_directives(self.io, resources, place)
        more = [line for line in self.dialect.more_directives(resources) if line not in directives]
        guard = hostscripts.render_guard(self.dialect, run_dir=run_dir, attempt=attempt)
        return "\n".join([directives, *more, "", guard])

    def render_submit(self, jobs: Sequence[HostJob]) -> str:
        return hostscripts.render_submit(self.dialect, self.options, jobs)

    def parse_submit(self, answer: CommandResult, jobs: Sequence[HostJob]) -> list[SubmitAnswer]:
        said = {words[1]: words[2:] for line in answer.stdout.splitlines() if len(words := _words(line)) == 4}
        return [_submit_answer(said.get(job.attempt), answer) for job in jobs]

    def render_cancel(self, jobs: Sequence[HostJob]) -> str:
        return hostscripts.render_cancel(self.dialect, self.options, jobs)

    # -- status --------------------------------------------------------------------------------------------------

    def render_status(self, jobs: Sequence[HostJob]) -> str:
        return hostscripts.render_status(self.dialect, self.options, jobs)

    def parse_status(self, answer: CommandResult, jobs: Sequence[HostJob]) -> list[HostJobStatus]:
        told = take_apart(answer.stdout)
        if told.list_code != 0 or not told.whole:
            words = told.listing.strip() or answer.stderr.strip() or "it said nothing"
            raise SchedulerBusyError(f"{self.dialect.name} does not answer: {words[-500:]}")
        listed = self.dialect.parse_list(told.listing)
        past = self.dialect.parse_past(told.past)
        return [self._status(job, told, listed, past) for job in jobs]

    def _status(
        self, job: HostJob, told: StatusAnswer, listed: Mapping[str, Listed], past: Mapping[str, list[Left]]
    ) -> HostJobStatus:
        facts = told.facts.get(job.attempt)
        number = (facts.process_id if facts else None) or job.process_id or ""
        entry = listed.get(number)
        if entry and (facts is None or facts.marked) and not is_of_attempt(entry.name, job.attempt):
            entry = None  # the scheduler uses the number for another job by now
        if entry and facts and entry.state is HostJobState.RUNNING and self._has_surely_ended(facts):
            entry = None
        if entry:
            return HostJobStatus(
                entry.state, reason=entry.reason, process_id=number, queue_state=entry.queue_state
            )
        if facts is None:  # listed for the shell and not for us: look again
            return HostJobStatus(HostJobState.QUEUED, queue_state="UNKNOWN")
        ours = [
            left for left in past.get(number, ()) if not facts.marked or is_of_attempt(left.name, job.attempt)
        ]
        left = ours[-1] if ours else None
        words = _Words(number or None, self.dialect.name, told.words.get(job.attempt, []))
        return decide_left(facts, left, words, lag_seconds=self.dialect.accounting_lag_seconds)

    def _has_surely_ended(self, facts: Facts) -> bool:
        """Its script is over, whatever the scheduler still does about it."""
        if facts.exit_code is None:
            return False
        through = facts.exit_code == 0 and not self.dialect.copies_output
        return through or facts.exit_age_seconds >= _STUCK_SECONDS


@dataclass(frozen=True, slots=True)
class _Words:
    process_id: str | None
    scheduler: str
    lines: list[str]

    def reason(self, given: str | None) -> str | None:
        """The reason, and what the scheduler wrote into the job's own output."""
        if not self.lines:
            return given
        wrote = "; ".join(line.strip() for line in self.lines)
        if "memory" in wrote.lower() and "memory" not in (given or ""):
            given = "out of memory"
        return f"{given} ({wrote})" if given else wrote


def decide_left(facts: Facts, left: Left | None, words: _Words, *, lag_seconds: int) -> HostJobStatus:
    """Where a job is that the scheduler does not list: ended, if that is sure."""
    code = facts.exit_code if facts.exit_code is not None else left.exit_code if left else None
    state = left.queue_state if left else "UNKNOWN"
    ended = HostJobStatus(
        HostJobState.ENDED,
        exit_code=code,
        reason=words.reason(left.reason if left else None),
        process_id=words.process_id,
        queue_state=state if left else "ENDED",
    )
    if facts.exit_code == 0 or (left and left.final):
        return ended
    if facts.exit_code is not None and facts.exit_age_seconds >= lag_seconds:
        return ended
    missed = facts.gone == "missing" or (facts.gone.isdigit() and int(facts.gone) >= _GONE_SECONDS)
    if missed and facts.has_result:
        return ended
    if missed and facts.exit_code is None and (left is None or facts.gone == "missing"):
        what = f"job {words.process_id}" if words.process_id else "it"
        lost = f"{words.scheduler} does not know {what} any more, and it left no exit code"
        if not facts.started:
            lost = f"{words.scheduler} does not know {what} any more, and it never began: cancelled while it waited?"
        return HostJobStatus(
            HostJobState.ENDED,
            reason=words.reason(lost),
            process_id=words.process_id,
            queue_state="UNKNOWN",
        )
    if missed and left:  # accounting never learned of the end
        return ended
    where = HostJobState.RUNNING if facts.started else HostJobState.QUEUED
    return HostJobStatus(where, process_id=words.process_id, queue_state=state)


def _words(line: str) -> list[str]:
    return line.split("|", 3) if line.startswith("jf|") else []


def _submit_answer(said: list[str] | None, answer: CommandResult) -> SubmitAnswer:
    match said:
        case ["ok", number] if number:
            return SubmitAnswer(process_id=number)
        case ["busy", text]:
            return SubmitAnswer(error=text, busy=True)
        case ["error", text]:
            return SubmitAnswer(error=text)
        case _:  # the script was cut short: whether this one was submitted will be seen from its folder
            words = answer.stderr.strip()[-300:] or "no answer about this job"
            return SubmitAnswer(error=words, busy=True)


def take_apart(text: str) -> StatusAnswer:
    """The parts of the status script's answer; anything else in between is not ours."""
    told = StatusAnswer()
    section: list[str] | None = None
    for line in text.splitlines():
        match line.split("|", 3):
            case ["jf", "list", code]:
                told.list_code, section = int(code), []
            case ["jf", "past", ""]:
                section = []
                told.past = "\n"
            case ["jf", "end"] if section is not None:
                if told.past:
                    told.past = "\n".join(section)
                else:
                    told.listing = "\n".join(section)
                section = None
            case ["jf", attempt, "facts", facts] if section is None:
                told.facts[attempt] = _facts(facts)
            case ["jf", attempt, "words", words] if section is None:
                told.words.setdefault(attempt, []).append(words)
            case ["jf", "done", ""]:
                told.whole = True
            case _ if section is not None:
                section.append(line)
    return told


def _facts(text: str) -> Facts:
    number, marked, started, code, age, result, gone = text.split("|")
    return Facts(
        process_id=number or None,
        marked=bool(marked),
        started=bool(started),
        exit_code=int(code) if code.lstrip("-").isdigit() else None,
        exit_age_seconds=int(age) if age.lstrip("-").isdigit() else 0,
        has_result=bool(result),
        gone=gone,
    )
