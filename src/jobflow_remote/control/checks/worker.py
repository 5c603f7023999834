"""Whether jobs can run on a worker: connect, look around, ask its scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from jobflow_remote.config.workers import BaseRemoteWorker, WorkerBase
from jobflow_remote.control.checks import judging
from jobflow_remote.control.checks.findings import Finding, error, from_exception, ok, warning
from jobflow_remote.control.checks.noop import run_noop
from jobflow_remote.control.checks.probe import (
    Told,
    commands_of,
    parse_answers,
    render_environment_probe,
    render_host_probe,
)
from jobflow_remote.errors import ConfigError, HostError, JobflowRemoteError, SchedulerBusyError
from jobflow_remote.hosts.port import Host
from jobflow_remote.schedulers.port import HostJob, Scheduler

RUN_SECONDS = 300.0
"""How long the job of ``--run`` may wait in the scheduler's queue."""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What to look at beside the usual."""

    run: bool = False
    """Send a real job."""
    run_seconds: float = RUN_SECONDS
    all_packages: bool = False


async def check_worker(
    worker: WorkerBase,
    *,
    options: CheckOptions,
    doing: Callable[[str], None] = lambda what: None,
) -> list[Finding]:
    """All that can be said about a worker; stops where nothing further can be asked."""
    from jobflow_remote import bootstrap

    found: list[Finding] = []
    scheduler = _make_scheduler(worker, found)
    try:
        host = bootstrap.make_host(worker)
    except JobflowRemoteError as exc:
        return [*found, from_exception("connection", exc)]
    try:
        doing("connecting")
        if not await _connect(worker, host, found):
            return found
        doing("looking around")
        await _look_around(worker, host, scheduler, found, options=options)
        if options.run and scheduler is not None:
            if any(each.level == "error" for each in found):
                found.append(warning("run", "no job was sent: see the errors"))
            else:
                found += await run_noop(
                    worker, host, scheduler, limit_seconds=options.run_seconds, doing=doing
                )
    except JobflowRemoteError as exc:
        found.append(from_exception("connection", exc))
    finally:
        await host.close()
    return found


def _make_scheduler(worker: WorkerBase, found: list[Finding]) -> Scheduler | None:
    from jobflow_remote import bootstrap

    try:
        scheduler = bootstrap.make_scheduler(worker)
        scheduler.render_header(
            name="check", run_dir=str(worker.work_dir), resources=worker.resources or {}, attempt="check"
        )
    except (JobflowRemoteError, ImportError) as exc:
        found.append(from_exception("resources", exc))
        return None
    return scheduler


async def _connect(worker: WorkerBase, host: Host, found: list[Finding]) -> bool:
    """Log in; measure the way and the clock."""
    try:
        await host.run("true", timeout_seconds=worker.timeout_execute)
        begin, before = time.monotonic(), time.time()
        answer = await host.run("echo; date +%s.%N", timeout_seconds=worker.timeout_execute)
        round_trip, after = time.monotonic() - begin, time.time()
    except ConfigError as exc:
        found.append(from_exception("connection", exc, "correct the worker in the project file"))
        return False
    except (JobflowRemoteError, OSError) as exc:
        found.append(from_exception("connection", exc, _connection_fix(worker)))
        return False
    name = host.name if isinstance(worker, BaseRemoteWorker) else "this machine"
    found.append(ok("connection", f"{name} answers in {round_trip * 1000:.1f} ms"))
    seconds = _seconds(answer.stdout)
    if seconds is not None:
        found.append(judging.judge_clock(seconds - (before + after) / 2, round_trip))
    return True


def _connection_fix(worker: WorkerBase) -> str | None:
    if not isinstance(worker, BaseRemoteWorker):
        return None
    target = f"{worker.user}@{worker.host}" if worker.user else worker.host
    port = f" -p {worker.port}" if worker.port else ""
    return f"does `ssh{port} {target}` get in from this machine? See `host`, `port`, `gateway` of the worker"


def _seconds(text: str) -> float | None:
    word = text.split()[-1].replace(".N", "") if text.split() else ""
    try:
        return float(word)
    except ValueError:
        return None


async def _look_around(
    worker: WorkerBase,
    host: Host,
    scheduler: Scheduler | None,
    found: list[Finding],
    *,
    options: CheckOptions,
) -> None:
    needed, useful = commands_of(scheduler) if scheduler is not None else ((), ())
    told = await _ask(host, render_host_probe(worker, [*needed, *useful]), worker)
    found.append(judging.judge_shell(worker, told))
    found += judging.judge_folders(worker, told)
    commands = judging.judge_commands(needed, useful, told)
    found += commands
    if scheduler is not None and not any(each.level == "error" for each in commands):
        found.append(await _ask_scheduler(worker, host, scheduler))
    try:
        environment = await _ask(
            host, render_environment_probe(worker, all_packages=options.all_packages), worker
        )
    except HostError as exc:
        if exc.failure.name == "WEATHER":
            raise
        limit = f"the lines before a job did not end within {worker.timeout_execute} s"
        found.append(
            error("pre_run", limit, "see `pre_run` of the worker; does it wait for input, or a slow disk?")
        )
        return
    found += judging.judge_environment(worker, environment)
    if options.all_packages:
        found += judging.compare_packages(environment)


async def _ask(host: Host, command: str, worker: WorkerBase) -> Told:
    answer = await host.run(command, timeout_seconds=worker.timeout_execute)
    return parse_answers(answer.stdout)


async def _ask_scheduler(worker: WorkerBase, host: Host, scheduler: Scheduler) -> Finding:
    """Ask about a job that does not exist: whether the scheduler answers at all."""
    nobody = HostJob(run_dir=f"{worker.work_dir}/.jfremote_check_nothing", attempt="check")
    try:
        answer = await host.run(scheduler.render_status([nobody]), timeout_seconds=worker.timeout_execute)
        scheduler.parse_status(answer, [nobody])
    except SchedulerBusyError as exc:
        fix = "is it running? Ask it by hand, or its administrators; jobs wait until it answers"
        return from_exception("scheduler", exc, fix)
    except JobflowRemoteError as exc:
        return from_exception("scheduler", exc)
    return ok("scheduler", f"the scheduler ({worker.scheduler_name}) answers")
