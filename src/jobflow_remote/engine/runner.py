"""One process of the runner: the lanes of its roles, its bell, its heartbeat.

The daemon starts one such process per role, or a single one with all roles; ``jf runner run`` is the same in the
foreground.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any

from jobflow_remote.bootstrap import services_of
from jobflow_remote.config.inuse import forget_in_use
from jobflow_remote.config.project import Project
from jobflow_remote.config.revision import find_changes, find_moved
from jobflow_remote.engine.configuration import ConfigurationWatch, InUse
from jobflow_remote.engine.context import RunnerContext
from jobflow_remote.engine.databasewatch import DatabaseWatch
from jobflow_remote.engine.heartbeat import Heartbeat
from jobflow_remote.engine.lanes import Lanes
from jobflow_remote.engine.logs import set_level, start_logging
from jobflow_remote.engine.orphans import find_unknown_workers, give_up_orphans
from jobflow_remote.engine.reporter import Reporter
from jobflow_remote.engine.twin import fork_twin
from jobflow_remote.errors import (
    CapabilityMissingError,
    JobflowRemoteError,
    QueueDatabaseAwayError,
    SessionLostError,
)
from jobflow_remote.model.lifecycle import IN_SCHEDULER, ROLES, UNFINISHED
from jobflow_remote.model.processes import process_name
from jobflow_remote.model.records import CONFIGURATION_IN_USE
from jobflow_remote.outputs.jobfiles import check_file_format
from jobflow_remote.queuedb.port import WHOLE, Share
from jobflow_remote.services import wakeup
from jobflow_remote.services.logindesk import LoginDesk, needs_desk
from jobflow_remote.services.opened import Services
from jobflow_remote.services.session import (
    PID_FILENAME,
    SHARE_VARIABLE,
    TOKEN_VARIABLE,
    describe_owner,
    hold_alive_lock,
    no_runner_alive,
    open_session,
)

logger = logging.getLogger(__name__)

EXIT_SUPERSEDED = 3
"""Exit code of a process whose session was lost: starting it again would not help."""
_LOOK_FOR_CHANGES_SECONDS = 1.0
_LOOK_AT_CONFIGURATION_SECONDS = 1.0
_ORPHANS_EVERY_SECONDS = 10.0
_GRACE_SECONDS = 10.0
"""How long steps in hand may take to end once the runner was told to; then they are cut short, as if it was killed."""
_HANGING_UP_SECONDS = 3.0


class Runner:
    """Lanes for the steps of ``roles``, until somebody says stop."""

    def __init__(
        self,
        services: Services,
        token: str,
        *,
        roles: Iterable[str],
        daemonized: bool = False,
        share: Share = WHOLE,
        configuration: ConfigurationWatch | None = None,
    ) -> None:
        self.services, self.roles, self.daemonized, self.share = services, tuple(roles), daemonized, share
        self.context = RunnerContext(services, token, wake=self.wake, on_change=self._go_on_by)
        if configuration is not None:
            self.context.configuration = configuration
        self.ended_by: str | None = None
        self.was_cut_short = False
        """Threads of steps that did not end in time may still be at work."""
        self.follow_log_level = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes = Lanes(self.context, roles=self.roles, share=share, start=self._start_task)
        name = process_name(self.roles, all_roles=tuple(ROLES), part=share.part, parts=share.parts)
        self._reporter = Reporter(name, self.roles, lambda: [lane.report for lane in self._lanes])
        self._heartbeat: Heartbeat | None = None
        self._desk: LoginDesk | None = None
        self._local_steps = {step for role in self.roles for step in ROLES[role]}
        self._stop = asyncio.Event()

    def wake(self, step: str, worker: str | None = None) -> None:
        """Wake the lanes of a step, here or in another process of this runner."""
        if step not in self._local_steps:
            self.services.ring([step])
            return
        for lane in self._lanes:
            if lane.step.name == step and worker in (None, lane.step.worker):
                lane.wake()

    async def run(self, *, until_idle: bool = False, max_seconds: float | None = None) -> None:
        """Work until told to stop (or, for scripts and tests, until no job is left that the runner could move)."""
        loop = asyncio.get_running_loop()
        self.services.queue.join_session()
        self.context.database.on_back = partial(loop.call_soon_threadsafe, self._resume)
        bell = wakeup.Bell(self.services.daemon_dir, "-".join(self.roles)[:12])
        loop.add_reader(bell.fileno(), self._on_bell, bell)
        heartbeat = self._heartbeat = self._start_heartbeat(loop)
        self._lanes.start()
        heartbeat.report_now()
        self._start_task(self._watch_configuration(), "configuration")
        if "checkout" in self.roles:
            self._start_task(self._watch_database(), "database")
            self._start_task(self._look_for_orphans(), "orphans")
        if until_idle:
            self._start_task(self._stop_when_idle(max_seconds), "idle")
        desk = self._desk = await self._open_login_desk()
        try:
            await self._wait()
        finally:
            heartbeat.stop()
            await desk.close()
            loop.remove_reader(bell.fileno())
            bell.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.services.close_hosts(), _HANGING_UP_SECONDS)
            self.context.close()

    def stop(self, reason: str = "stop") -> None:
        """Finish the steps in hand and end; call it in the event loop."""
        self.ended_by = self.ended_by or reason
        self._stop.set()
        self._lanes.stop()

    # -- inside ------------------------------------------------------------------------------------------------

    def _start_task(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Something that goes on until the runner stops; if it fails, the runner does."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_end)
        return task

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if isinstance(error, SessionLostError):
            self.ended_by = "superseded"
        else:
            logger.error("%s ended", task.get_name(), exc_info=error)
        self.stop("failed")

    async def _wait(self) -> None:
        await self._stop.wait()
        end = time.monotonic() + _GRACE_SECONDS
        while self._tasks and (left := end - time.monotonic()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        if self._tasks:
            self.was_cut_short = True
            names = ", ".join(sorted(task.get_name() for task in self._tasks))
            logger.warning(
                "cut short after %g s, to be repeated by the next runner: %s", _GRACE_SECONDS, names
            )
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=_HANGING_UP_SECONDS)

    # -- another configuration -----------------------------------------------------------------------------------

    async def _watch_configuration(self) -> None:
        """Notice a changed project file; steps that render jobs look by themselves, too."""
        told: InUse | None = None
        while not self._stop.is_set():
            await self.context.look_at_configuration()
            now = self.context.configuration.in_use
            if "checkout" in self.roles and now != told and await self._tell_configuration(now):
                told = now
            await self._pause(_LOOK_AT_CONFIGURATION_SECONDS)

    async def _tell_configuration(self, now: InUse) -> bool:
        """For `jf runner info`; one process speaks for all, since all look at the same file."""
        write = self.services.queue.set_auxiliary
        try:
            await self.context.in_queue_thread(write, CONFIGURATION_IN_USE, now.as_document())
        except JobflowRemoteError:
            return False  # later
        return True

    def _go_on_by(self, project: Project) -> None:
        """A safe point: lanes whose worker is another one now end after the step in hand."""
        changes = find_changes(self.services.project, project)
        moved = find_moved(self.services.project, project)
        self.services.project = project
        if self._heartbeat is not None:
            self._heartbeat.every_seconds = project.runner.heartbeat_seconds
            self._heartbeat.lease_seconds = project.runner.lease_seconds
        if self.follow_log_level:
            set_level(project.log_level.to_logging())
        everybody = (*project.workers, *changes.removed)
        workers = (
            everybody if changes.runner_options else (*changes.added, *changes.removed, *changes.changed)
        )
        self._lanes.renew(workers)
        if self._desk is not None and needs_desk(project):
            self._start_task(self._desk.open(), "login desk")
        if moved and "queue" in self.roles:
            self._start_task(self._warn_of_moved(moved), "moved workers")

    async def _warn_of_moved(self, workers: Iterable[str]) -> None:
        """Jobs in hand cannot move with their worker."""
        try:
            load = await self.context.in_queue_thread(self.services.queue.workload, states=IN_SCHEDULER)
        except JobflowRemoteError:
            return
        for worker in workers:
            number = sum(jobs for (name, _), jobs in load.items() if name == worker)
            if number:
                logger.warning(
                    "%d jobs of worker %s are with the scheduler of its former host, and are looked for on the new one",
                    number,
                    worker,
                )

    async def _open_login_desk(self) -> LoginDesk:
        """Where a person at a terminal logs us in to hosts that ask questions."""
        desk = LoginDesk(
            self.services.daemon_dir,
            "-".join(self.roles)[:12],
            find_host=self.services.host,
            logged_in=self._on_login,
        )
        if needs_desk(self.services.project):
            await desk.open()
        return desk

    def _on_login(self, worker: str) -> None:
        for lane in self._lanes:
            if lane.step.worker == worker:
                lane.resume()

    def _start_heartbeat(self, loop: asyncio.AbstractEventLoop) -> Heartbeat:
        def on_end(reason: str) -> None:
            loop.call_soon_threadsafe(self._on_heartbeat_end, reason)

        options = self.services.project.runner
        heartbeat = Heartbeat(
            self.services.queue,
            self.context.token,
            watch=self.context.database,
            daemon_dir=self.services.daemon_dir,
            every_seconds=options.heartbeat_seconds,
            lease_seconds=options.lease_seconds,
            ping_seconds=options.delay_ping_db,
            parent=_daemon_pid(self.services.daemon_dir) if self.daemonized else None,
            reporter=self._reporter,
            on_end=on_end,
        )
        heartbeat.start()
        return heartbeat

    def _on_heartbeat_end(self, reason: str) -> None:
        logger.warning("the runner ends: %s", reason)
        if self.daemonized and reason == "stop":
            os.kill(os.getppid(), signal.SIGTERM)  # supervisord: it stops all processes and ends
        self.stop(reason)

    def _on_bell(self, bell: wakeup.Bell) -> None:
        steps = bell.read()
        if wakeup.REPORT in steps and self._heartbeat is not None:
            self._heartbeat.report_now()
        for lane in self._lanes:
            if wakeup.EVERYBODY in steps or lane.step.name in steps:
                lane.wake()

    def _resume(self) -> None:
        """The queue database is back: there may be work for everybody."""
        for lane in self._lanes:
            lane.resume()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            pass

    async def _watch_database(self) -> None:
        """Notice writers who could not ring (another machine, a container, a killed process)."""
        while not self._stop.is_set():
            await self._pause(_LOOK_FOR_CHANGES_SECONDS)
            try:
                asking = self.services.queue.changed_by_others
                changed = await self.context.in_thread("changes", self.context.database.call, asking)
            except JobflowRemoteError:
                continue
            if changed:
                self.services.ring()

    async def _look_for_orphans(self) -> None:
        while not self._stop.is_set():
            try:
                found = await self._give_up_orphans()
                if found:
                    logger.warning(
                        "%d jobs have a worker that the project does not know: REMOTE_ERROR", found
                    )
            except SessionLostError:
                raise
            except QueueDatabaseAwayError:
                pass  # everybody knows
            except JobflowRemoteError as error:
                logger.warning("cannot look for jobs without worker: %s", error.message)
            await self._pause(_ORPHANS_EVERY_SECONDS)

    async def _give_up_orphans(self) -> int:
        unknown = await self.context.in_queue_thread(find_unknown_workers, self.context)
        if not unknown:
            return 0
        await self.context.look_at_configuration()  # the worker may have been added a moment ago
        if self.context.configuration.in_use.problem is not None:
            return 0  # or it is meant to be added by a file that cannot be used yet
        return await self.context.in_queue_thread(give_up_orphans, self.context, unknown)

    async def _stop_when_idle(self, max_seconds: float | None) -> None:
        end = None if max_seconds is None else time.monotonic() + max_seconds
        while not self._stop.is_set():
            try:
                load = await self.context.in_queue_thread(self.services.queue.workload)
            except QueueDatabaseAwayError:
                load = None
            if load is not None and not any(
                number for (_, state), number in load.items() if state in UNFINISHED
            ):
                self.stop("idle")
            elif end is not None and time.monotonic() > end:
                self.stop("timeout")
            await self._pause(0.1)


def run_runner(
    project_name: str | None = None,
    *,
    roles: Iterable[str] | None = None,
    log_level: str | None = None,
    daemonized: bool = False,
) -> int:
    """Run a process of the runner until it is told to stop; returns its exit code.

    Started by the daemon it joins the session that the daemon opened; by hand it opens one.
    """
    chosen = tuple(ROLES) if not roles else tuple(role for role in ROLES if role in set(roles))
    token = os.environ.get(TOKEN_VARIABLE) if daemonized else None
    configuration = ConfigurationWatch.read(project_name, fall_back=token is not None)
    project = configuration.project
    twin = fork_twin(project) if token is not None and chosen == tuple(ROLES) else None
    _start_logs(project, chosen, log_level, daemonized)
    with ExitStack() as stack:
        alive = hold_alive_lock(project.daemon_dir) if token else None
        services = _open_services(project, patiently=token is not None)
        if services is None:
            return 0
        stack.enter_context(services)
        logger.info("project %s: %s, on %s", project.name, ", ".join(chosen), services.queue.describe())
        if token is None:
            token, alive = _open_own_session(services)
        runner = Runner(
            services,
            token,
            roles=chosen,
            daemonized=daemonized,
            share=_share(),
            configuration=configuration,
        )
        runner.follow_log_level = log_level is None
        runner.context.twin = twin
        stack.callback(_close_session_if_last, services, token)
        if alive is not None:
            stack.enter_context(alive)
        asyncio.run(_run_with_signals(runner, before_exit=stack.close))
        logger.info("ended: %s", runner.ended_by)
        return _exit_code(runner)


def _open_services(project: Project, *, patiently: bool) -> Services | None:
    """Open what the runner works with; ``patiently``: wait for a database that is away. None: nobody wants us."""
    watch, pause = DatabaseWatch(project.daemon_dir), 0.25
    while True:
        try:
            services = watch.ask(services_of, project)
            watch.forget_former()
            return services
        except QueueDatabaseAwayError:
            if not patiently:
                raise
        time.sleep(pause)
        pause = min(2 * pause, project.runner.heartbeat_seconds)
        if os.getppid() != _daemon_pid(Path(project.daemon_dir)):
            return None


def _start_logs(project: Project, roles: tuple[str, ...], log_level: str | None, daemonized: bool) -> None:
    level = type(project.log_level)(log_level) if log_level else project.log_level
    share = _share()  # processes that share a file could not rotate it
    name = process_name(roles, all_roles=tuple(ROLES), part=share.part, parts=share.parts)
    start_logging(
        Path(str(project.log_dir)),
        name="runner" if name == "all" else f"runner_{name}",
        level=level.to_logging(),
        runner_id=str(os.getpid()),
        to_terminal=not daemonized,
    )
    try:
        check_file_format(project.remote_jobstore)
    except CapabilityMissingError as error:
        logger.warning("%s; they do. %s", error.message, error.hint)


def _daemon_pid(daemon_dir: Path) -> int:
    """Pid of the daemon, from its file: it may be dead by now, and our parent somebody else."""
    try:
        return int((daemon_dir / PID_FILENAME).read_text())
    except (OSError, ValueError):
        return os.getppid()


def _share() -> Share:
    part, _, parts = os.environ.get(SHARE_VARIABLE, "0/1").partition("/")
    return Share(int(part), int(parts))


def _close_session_if_last(services: Services, token: str) -> None:
    """The last process of a runner to end gives the session back, so that nobody has to wait for the lease."""
    try:
        with no_runner_alive(services.daemon_dir):
            services.queue.close_session(token)
            forget_in_use(services.project.name)
    except JobflowRemoteError:
        pass


def _open_own_session(services: Services) -> tuple[str, IO[str]]:
    options = services.project.runner
    with no_runner_alive(services.daemon_dir):
        owner = describe_owner(
            services.project.name,
            services.daemon_dir,
            runner_options=options.model_dump(mode="json"),
            mode="foreground",
        )
        session = open_session(services.queue, owner, lease_seconds=options.lease_seconds)
    return session.token, hold_alive_lock(services.daemon_dir)


def _exit_code(runner: Runner) -> int:
    return {"superseded": EXIT_SUPERSEDED, "failed": 1}.get(str(runner.ended_by), 0)


async def _run_with_signals(runner: Runner, *, before_exit: Callable[[], None]) -> None:
    """Run until told to stop. Where a thread hangs, the process ends without it, since Python would wait for it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runner.stop)
    await runner.run()
    if runner.was_cut_short:
        logger.info("ended: %s", runner.ended_by)
        ending = threading.Thread(target=before_exit, daemon=True)
        ending.start()
        ending.join(_HANGING_UP_SECONDS)
        logging.shutdown()
        os._exit(_exit_code(runner))
