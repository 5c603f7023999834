"""The loop of a pilot: take bundles, run their jobs, tell what became of them, end in time."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from jobflow_remote import layout
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.execution.forkserver.order import Message, Order
from jobflow_remote.execution.pilot.agents import Agents
from jobflow_remote.execution.pilot.allocation import Allocation, read_allocation
from jobflow_remote.execution.pilot.handledir import SURPLUS, UNSUITED, FencedError, HandleDir
from jobflow_remote.execution.pilot.options import PilotOptions
from jobflow_remote.execution.pilot.placement import Place, Placement
from jobflow_remote.execution.pilot.surroundings import NODES_FILENAME, environment_of, nodes_file
from jobflow_remote.execution.pilot.ticket import Ticket
from jobflow_remote.execution.pilot.timing import TimeBook
from jobflow_remote.execution.run import EXIT_TAKEN

EXIT_FENCED = 75
_REPORT_SECONDS, _REPORT_EVENTS = 0.25, 400
_BEAT_SECONDS, _STOPS_SECONDS = 5.0, 0.5
_QUICKEST_LOOK_SECONDS, _SLOWEST_LOOK_SECONDS = 0.05, 2.0
_PATIENCE_SECONDS = 30.0
"""What a job needs that did not fit for so long is kept free for it."""
_PASS_SECONDS = 1.0
"""What does not fit is looked at again when a job has ended, and after so long."""
_TERM_SECONDS = 10.0
"""Between the request to end and the end of a job."""
_FROM_OUTSIDE = frozenset(
    128 + number for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT)
)
"""Exit codes of a job that somebody ended."""
_DOUBT_SECONDS = 3.0
_AHEAD_SECONDS = 3.0
"""A pilot holds jobs for so many seconds of its work; the others may take the rest."""


@dataclass(slots=True)
class _Run:
    """A job under way."""

    ticket: Ticket
    place: Place
    ordered: float
    begun: float | None = None
    pid: int = 0
    told: bool = False
    """The runner knows that it runs."""
    kill_at: float | None = None
    interrupted: bool = False
    """It is ended for a reason that is not its own: somebody else shall run it."""


@dataclass(slots=True)
class _Doubt:
    """A job that was killed by somebody."""

    run: _Run
    code: int
    until: float


@dataclass(slots=True)
class _Timer:
    """Something that is done every so often."""

    seconds: float
    next: float = 0.0

    def is_due(self, now: float) -> bool:
        if now < self.next:
            return False
        self.next = now + self.seconds
        return True


@dataclass
class Pilot:
    """See :func:`run_pilot`."""

    options: PilotOptions
    allocation: Allocation
    handle: HandleDir
    placement: Placement
    agents: Agents
    times: TimeBook
    queue: deque[Ticket] = field(default_factory=deque)
    runs: dict[str, _Run] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    doubtful: list[_Doubt] = field(default_factory=list)
    started: int = 0
    done: int = 0
    busy_seconds: float = 0.0
    ending: str | None = None
    """Why no further job is started."""
    held: Ticket | None = None
    """A job that has waited so long that what it needs is kept free for it."""
    closing: str | None = None
    """Why it is not to be counted upon for further jobs."""
    signalled: str | None = None
    """What a signal asked for."""

    def __post_init__(self) -> None:
        now = time.monotonic()
        self.born, self.last_beat, self.last_work = time.time(), now, now
        self._beat, self._stops, self._report = (
            _Timer(_BEAT_SECONDS),
            _Timer(_STOPS_SECONDS),
            _Timer(_REPORT_SECONDS),
        )
        self._look_pause, self._next_look = _QUICKEST_LOOK_SECONDS, 0.0
        self._next_pass = 0.0
        self._seen_stops: set[str] = set()
        self._blocked_since: dict[str, float] = {}
        self._warned: str | None = None

    # -- the loop ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until there is a reason to end."""
        for share in self.allocation.nodes:
            self.placement.suspend(share.name)
        while not self._is_through():
            for message in self.agents.wait(self._pause()):
                self._on_message(message)
            now = time.monotonic()
            if self.signalled and not self.ending:
                self.stop(self.signalled, interrupt=True)
            self._on_lost_nodes()
            for node in self.agents.take_ready():
                self.placement.resume(node)
                self._next_pass = 0.0
            self._settle_doubts(now)
            self._watch_time(now)
            if not self.ending:
                self._patiently(partial(self._claim, now))
                self._start_jobs(now)
                self._patiently(self._return_unsuited)
            elif self.queue:
                self._patiently(self._return_queue)
            self._kill_late(now)
            if self._stops.is_due(now):
                self._patiently(self._look_for_stops)
            if self._beat.is_due(now) and self._patiently(lambda: self.handle.beat(self.facts())):
                self.last_beat = now
            if len(self.events) >= _REPORT_EVENTS or (self._has_news() and self._report.is_due(now)):
                self._patiently(self._flush)
            if now - self.last_beat > self.options.lease:
                raise FencedError("no sign of life could be given for as long as the lease lasts")

    def _is_through(self) -> bool:
        return bool(self.ending) and not (
            self.runs or self.queue or self.events or self.settled or self.doubtful
        )

    def _has_news(self) -> bool:
        return bool(self.events or self.settled) or any(
            not run.told and run.begun is not None for run in self.runs.values()
        )

    def stop(self, reason: str, *, interrupt: bool) -> None:
        """Start nothing any more; ``interrupt``: end the jobs that run, so that others can run them."""
        self.ending = self.ending or reason
        if interrupt:
            for run in self.runs.values():
                run.interrupted = True
                self._end_job(run)

    def _pause(self) -> float:
        if self.runs or self.queue or self.events or self.doubtful:
            return _REPORT_SECONDS
        return min(max(self._next_look - time.monotonic(), 0.02), 0.5)

    def _patiently(self, call: Callable[[], object]) -> bool:
        """File systems have bad moments; whatever did not work is tried again."""
        try:
            call()
        except OSError as error:
            if self._warned != str(error):
                log(f"cannot use {self.options.files_dir} right now: {error}")
            self._warned = str(error)
            return False
        if self._warned:
            log(f"{self.options.files_dir} can be used again")
            self._warned = None
        return True

    # -- work --------------------------------------------------------------------------------------------------

    def _wanted(self) -> int:
        ahead = 4 if self.placement.packs else 2
        return max(ahead * self.placement.capacity, 8, int(self.times.jobs_per_second() * _AHEAD_SECONDS))

    def _room(self) -> int:
        if self.options.max_jobs is None:
            return sys.maxsize
        return max(0, self.options.max_jobs - self.started - len(self.queue))

    def _claim(self, now: float) -> None:
        wanted = min(self._wanted(), self._room())
        if wanted <= 0 or len(self.queue) > wanted // 2 or now < self._next_look or not self.agents.ready:
            return
        tickets = self.handle.claim()
        if not tickets and self.closing and not self.runs and not self.queue:
            self.stop(self.closing, interrupt=False)
        if not tickets:
            slowest = self.options.sleep_time or _SLOWEST_LOOK_SECONDS
            self._next_look = now + self._look_pause
            self._look_pause = min(self._look_pause * 1.5, slowest)
            return
        self._look_pause, self._next_look = _QUICKEST_LOOK_SECONDS, 0.0
        self._next_pass, self.last_work = 0.0, now
        self.queue.extend(self._possible(tickets))
        if self.placement.packs:  # large jobs first: what is left between them is filled by the small ones
            self.queue = deque(sorted(self.queue, key=lambda each: -self.placement.size_of(each.needs)))
        self._return_beyond(min(max(2 * wanted, 16), self._room() + len(self.queue)))

    def _possible(self, tickets: list[Ticket]) -> list[Ticket]:
        kept = []
        for ticket in tickets:
            why = self.placement.why_never(ticket.needs) or self.times.why_never(ticket)
            if why is None:
                kept.append(ticket)
            else:
                self._tell(ticket, "unfit", why=why)
        return kept

    def _return_beyond(self, most: int) -> None:
        if self.options.max_jobs is not None:
            most = min(most, max(0, self.options.max_jobs - self.started))
        if len(self.queue) <= most:
            return
        tickets = list(self.queue)
        self._give_back(tickets[:most], tickets[most:])

    def _return_queue(self) -> None:
        self._give_back([], list(self.queue))

    def _give_back(self, kept: list[Ticket], returned: list[Ticket], *, kind: str = SURPLUS) -> None:
        self._flush()
        others = [*kept, *(run.ticket for run in self.runs.values()), *(d.run.ticket for d in self.doubtful)]
        self.handle.give_back(others, returned, kind=kind)
        self.queue = deque(kept)

    def _return_unsuited(self) -> None:
        """Let others have what there is no time for here."""
        unsuited = [ticket for ticket in self.queue if not self.times.fits(ticket)]
        if unsuited:
            self.closing = "too little time is left for jobs at hand"
            self._give_back(
                [ticket for ticket in self.queue if self.times.fits(ticket)], unsuited, kind=UNSUITED
            )

    def _start_jobs(self, now: float) -> None:
        """Start what fits. A job that did not fit for long enough has what it needs kept free for it."""
        if now < self._next_pass:
            return
        self._next_pass = now + _PASS_SECONDS
        if self.held is not None and not any(ticket is self.held for ticket in self.queue):
            self._release()
        waiting: deque[Ticket] = deque()
        full: set[tuple[object, ...]] = set()
        """Kinds for which there is no place."""
        while self.queue and self.placement.used < (self.placement.places or sys.maxsize):
            ticket = self.queue.popleft()
            kind, is_held = ticket.needs.kind, ticket is self.held
            place = None
            if (is_held or kind not in full) and self.times.fits(ticket):
                place = self.placement.take(ticket.needs, is_held=is_held)
                if place is None:
                    full.add(kind)
                    self._note_blocked(ticket, now)
            if place is None:
                waiting.append(ticket)
            else:
                self._start(ticket, place)
        self.queue.extendleft(reversed(waiting))
        if self.options.max_jobs is not None and self.started >= self.options.max_jobs:
            self.stop(f"{self.started} jobs, as many as it may run", interrupt=False)

    def _note_blocked(self, ticket: Ticket, now: float) -> None:
        since = self._blocked_since.setdefault(ticket.attempt, now)
        if self.held is None and now - since > _PATIENCE_SECONDS:
            self.held = ticket
            self.placement.hold(ticket.needs)

    def _release(self) -> None:
        self.held = None
        self.placement.release()

    def _start(self, ticket: Ticket, place: Place) -> None:
        self._blocked_since.pop(ticket.attempt, None)
        if ticket is self.held:
            self._release()
        order = Order(
            id=ticket.attempt,
            folder=ticket.run_dir,
            attempt=ticket.attempt,
            environment=environment_of(ticket, place, self.allocation, self.options.batch_uid),
            cores=place.cores if place.pins else (),
            script=ticket.script,
            reuse=self.options.reuse,
        )
        nodes = nodes_file(place, self.allocation)
        if nodes is not None:
            with contextlib.suppress(OSError):  # if it has no folder, that will be told
                Path(ticket.run_dir, NODES_FILENAME).write_text(nodes, encoding="utf-8")
        self.runs[ticket.attempt] = _Run(ticket, place, time.time())
        self.started += 1
        self.agents.start(place.node, order)

    # -- what agents tell --------------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        run = self.runs.get(message.get("id", ""))
        if run is None:
            return
        if message["event"] == "started":
            run.begun, run.pid = message["time"], message["pid"]
        elif message["event"] == "ended":
            self._on_end(run, message)

    def _on_end(self, run: _Run, message: Message) -> None:
        ticket, code = run.ticket, int(message["code"])
        self._close(run)
        seconds = max(0.0, message["ended"] - message["started"])
        self.times.note(ticket, seconds)
        self.busy_seconds += seconds * max(1, len(run.place.cores))
        holder = _holder_of(run, int(message["pid"])) if code == EXIT_TAKEN else None
        if holder == layout.WITHDRAWN:
            self._tell(ticket, "unbegun")
        elif holder is not None:
            self.settled.append(ticket.attempt)
        elif os.path.exists(os.path.join(ticket.run_dir, layout.OUT_FILENAME)):
            self._tell(ticket, "end", run=run, code=code, why=message.get("why"))
        elif run.interrupted:
            self._tell(ticket, "back", run=run, why=self.ending)
        elif code in _FROM_OUTSIDE and run.kill_at is None:
            self.doubtful.append(_Doubt(run, code, time.monotonic() + _DOUBT_SECONDS))
        else:
            self._tell(ticket, "end", run=run, code=code, why=message.get("why"))

    def _settle_doubts(self, now: float) -> None:
        """Whoever ends an allocation may signal jobs before the pilot: wait a moment to see whom a signal was for."""
        still = []
        for doubt in self.doubtful:
            if self.signalled:
                self._tell(doubt.run.ticket, "back", run=doubt.run, why=self.signalled)
            elif now > doubt.until:
                self._tell(doubt.run.ticket, "end", run=doubt.run, code=doubt.code)
            else:
                still.append(doubt)
        self.doubtful = still

    def _close(self, run: _Run) -> None:
        del self.runs[run.ticket.attempt]
        self.placement.give(run.place)
        self.done += 1
        self._next_pass, self.last_work = 0.0, time.monotonic()

    def _on_lost_nodes(self) -> None:
        for node in self.agents.take_lost():
            lost = [run for run in self.runs.values() if run.place.node == node]
            log(f"the agent of {node} is gone, with {len(lost)} jobs")
            for run in lost:
                self._close(run)
                if os.path.exists(os.path.join(run.ticket.run_dir, layout.OUT_FILENAME)):
                    self._tell(run.ticket, "end", run=run, code=0)
                else:
                    self._tell(run.ticket, "back", run=run, why=f"the agent of {node} is gone")
            self._release()
            if self.agents.revive(node):
                self.placement.suspend(node)
            else:
                self.placement.lose(node)
            if not self.agents.any_left:
                self.stop("no node is left", interrupt=False)

    # -- time, stops -------------------------------------------------------------------------------------------

    def _watch_time(self, now: float) -> None:
        if self.options.max_time is not None and time.time() - self.born > self.options.max_time:
            self.stop(f"{self.options.max_time:g} s are over", interrupt=False)
        if self.times.warning_is_due():
            self.stop("the allocation ends", interrupt=True)
        idle = not (self.runs or self.queue or self.events or self.doubtful)
        if not idle or not self.agents.ready:
            self.last_work = (
                max(self.last_work, now) if self.runs or not self.agents.ready else self.last_work
            )
        elif not self.ending and now - self.last_work > self.options.max_wait:
            self.stop(f"nothing to do for {self.options.max_wait:g} s", interrupt=False)

    def _look_for_stops(self) -> None:
        wanted = self.handle.wanted_stops() if self.runs or self.queue else set()
        for attempt in wanted & self.runs.keys() - self._seen_stops:
            self._end_job(self.runs[attempt])
        gone = [ticket for ticket in self.queue if ticket.attempt in wanted]
        self.queue = deque(ticket for ticket in self.queue if ticket.attempt not in wanted)
        for ticket in gone:
            self._tell(ticket, "unbegun")
        self._seen_stops = wanted

    def _end_job(self, run: _Run) -> None:
        if run.kill_at is None:
            self.agents.signal(run.place.node, run.ticket.attempt, signal.SIGTERM)
            run.kill_at = time.monotonic() + self.times.grace_seconds(_TERM_SECONDS)

    def _kill_late(self, now: float) -> None:
        for run in self.runs.values():
            if run.kill_at is not None and now > run.kill_at:
                self.agents.signal(run.place.node, run.ticket.attempt, signal.SIGKILL)
                run.kill_at = now + 5

    # -- words -------------------------------------------------------------------------------------------------

    def _tell(self, ticket: Ticket, kind: str, *, run: _Run | None = None, **more: Any) -> None:
        event = {
            "kind": kind, "attempt": ticket.attempt, "uuid": ticket.uuid, "index": ticket.index,
            "pilot": self.options.batch_uid, "time": time.time(),
        }  # fmt: skip
        if run is not None:
            event |= {"begun": run.begun or run.ordered, "node": run.place.node, "pid": run.pid}
            if self.placement.packs:
                event |= {"cores": list(run.place.cores), "gpus": list(run.place.gpus)}
        self.events.append({**event, **{key: value for key, value in more.items() if value is not None}})
        if kind != "begin":
            self.settled.append(ticket.attempt)

    def _flush(self) -> None:
        for run in self.runs.values():
            if not run.told and run.begun is not None:
                run.told = True
                self._tell(run.ticket, "begin", run=run)
        if self.events:
            self.handle.report(self.events)
            self.events = []
        self.handle.settle(self.settled)
        self.settled = []

    def facts(self) -> dict[str, Any]:
        """What the sign of life tells."""
        now = time.time()
        return {
            "now": now, "started": self.born, "host": os.uname().nodename, "pid": os.getpid(),
            "running": [run.ticket.key for run in list(self.runs.values())[:500]],
            "queued": len(self.queue), "done": self.done, "capacity": self._jobs_at_once(),
            "cores": self.placement.cores if self.placement.packs else self.placement.capacity,
            "busy_seconds": round(self.busy_now(now), 1), "ends_at": self.times.ends_at,
            "ending": self.ending or self.closing, "nodes": [node.name for node in self.allocation.nodes],
        }  # fmt: skip

    def _jobs_at_once(self) -> int:
        """How many jobs of the present kind fit: by that the runner reckons how many pilots the work deserves."""
        most = self.placement.capacity
        needs = [ticket.needs for ticket in self.queue] + [run.ticket.needs for run in self.runs.values()]
        if not self.placement.packs or not needs:
            return most
        mean = sum(self.placement.size_of(each) for each in needs) / len(needs)
        return max(1, min(most, int(self.placement.cores / mean)))

    def busy_now(self, now: float) -> float:
        """Core seconds of all jobs so far."""
        present = sum(
            max(0.0, now - run.begun) * max(1, len(run.place.cores))
            for run in self.runs.values()
            if run.begun
        )
        return self.busy_seconds + present


def _holder_of(run: _Run, pid: int) -> str | None:
    """Who has the attempt, if not this process: the function of a job may end with the code that says so."""
    path = os.path.join(run.ticket.run_dir, layout.TAKEN_PREFIX + run.ticket.attempt)
    try:
        with open(path, encoding="utf-8") as file:
            words = file.read().split()
    except OSError:
        return None
    if len(words) < 3 or words[0] == layout.WITHDRAWN:
        return layout.WITHDRAWN
    if run.ticket.script is None:
        return None if words[1] == str(pid) else words[1]
    return None if datetime.fromisoformat(words[2]).timestamp() >= run.ordered - 1 else words[1]


def log(message: str) -> None:
    """A line for the pilot's own output."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), message, flush=True)


def run_pilot(options: PilotOptions) -> int:
    """Be a pilot until there is nothing more to do, or no time for it; returns an exit code."""
    allocation = read_allocation()
    handle = HandleDir(options.files_dir, options.batch_uid)
    places = options.parallel_jobs or (None if options.pack else 1)
    placement = Placement(allocation.nodes, places, packs=options.pack)
    selector = selectors.DefaultSelector()
    agents = Agents(allocation, options, selector)
    times = TimeBook(allocation.ends_at)
    handle.enter()
    pilot = Pilot(options, allocation, handle, placement, agents, times)

    def on_signal(number: int, _: object) -> None:
        pilot.signalled = f"it got {signal.Signals(number).name}"

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    log(f"pilot {options.batch_uid} on {', '.join(node.name for node in allocation.nodes)}")
    try:
        handle.beat({"now": time.time(), "started": pilot.born})
        agents.open()
        pilot.run()
        handle.beat({**pilot.facts(), "ended": True})
        handle.leave()
    except FencedError as error:
        log(f"this pilot counts as dead ({error}); its jobs are ended")
        return EXIT_FENCED
    except JobflowRemoteError as error:
        log(f"{error.message}" + (f"; {error.hint}" if error.hint else ""))
        with contextlib.suppress(OSError, FencedError):
            handle.beat({"now": time.time(), "started": pilot.born, "ending": error.message, "failed": True})
        return 1
    finally:
        agents.close()
    log(f"ended: {pilot.ending}; {pilot.done} jobs")
    return 0
