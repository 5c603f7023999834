"""What the submission script calls."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import Any

from jobflow_remote import layout
from jobflow_remote.execution.run import run_job


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobflow_remote.execution",
        description="Execute jobs on the machine where they belong.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the job whose input file is in FOLDER")
    run.add_argument(
        "folder", nargs="?", default=".", metavar="FOLDER", help="the job's run folder (default: here)"
    )
    run.add_argument(
        "--attempt", metavar="TOKEN", help="attempt to take (default: the one of the input file)"
    )
    _add_run_batch(commands)
    _add_forkserver(commands)
    _add_relay(commands)
    return parser


def _add_run_batch(commands: Any) -> None:
    pilot = commands.add_parser("run-batch", help="be a pilot: run jobs of a batch worker, one after another")
    pilot.add_argument("base_run_dir", metavar="BASE_RUN_DIR", help="folder of the run folders of jobs")
    pilot.add_argument("files_dir", metavar="FILES_DIR", help="the worker's jobs_handle_dir")
    pilot.add_argument("batch_uid", metavar="BATCH_UID", help="name of this pilot")
    pilot.add_argument(
        "--max-time", "-mt", type=float, metavar="S", help="start no job after so many seconds"
    )
    pilot.add_argument(
        "--max-wait", "-mw", type=float, default=60.0, metavar="S", help="end after S idle seconds"
    )
    pilot.add_argument("--max-jobs", "-mj", type=int, metavar="N", help="end after N jobs")
    pilot.add_argument("--parallel-jobs", "-pj", type=int, metavar="N", help="jobs at the same time (1)")
    pilot.add_argument(
        "--sleep-time", "-st", type=float, metavar="S", help="pause between looks when idle (10)"
    )
    pilot.add_argument(
        "--lease",
        type=float,
        default=120.0,
        metavar="S",
        help="without a sign of life for so long it is dead",
    )
    pilot.add_argument(
        "--preload", action="append", default=[], metavar="MODULE", help="import it once, for all jobs"
    )
    pilot.add_argument(
        "--pack", action="store_true", help="give out cores, GPUs and memory of the allocation"
    )
    pilot.add_argument(
        "--reuse", action="store_true", help="run jobs one after another in the same processes"
    )


def _add_forkserver(commands: Any) -> None:
    server = commands.add_parser("forkserver", help="be the warm process from which jobs are forked")
    server.add_argument("--descriptor", type=int, metavar="N", help="an open socket to speak through")
    server.add_argument("--stdio", action="store_true", help="speak through the standard streams")
    server.add_argument("--connect", action="store_true", help="call the pilot that the environment names")
    server.add_argument("--preload", action="append", default=[], metavar="MODULE", help="import it once")
    server.add_argument("--lasting", action="store_true", help="jobs outlive it: for local workers")
    server.add_argument(
        "--most", type=int, default=0, metavar="N", help="lasting: jobs at a time (0: any number)"
    )
    server.add_argument("--pin", action="store_true", help="lasting: give each job cores of its own")


def _add_relay(commands: Any) -> None:
    relay = commands.add_parser("relay", help="start an agent on another node and speak with it")
    relay.add_argument("node", metavar="NODE", help="where")
    relay.add_argument("launcher", metavar="LAUNCHER", help="command that takes a node and a command")
    relay.add_argument("agent", nargs=argparse.REMAINDER, metavar="AGENT", help="what is started there")


def run_command_line(argv: list[str] | None = None) -> int:
    """Do what ``argv`` asks for; returns the exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "run-batch":
        return _run_pilot(arguments)
    if arguments.command == "forkserver":
        return _run_forkserver(arguments)
    if arguments.command == "relay":
        return _run_relay(arguments)
    told = os.environ.get(layout.ATTEMPT_VARIABLE)
    return run_job(
        arguments.folder, attempt=arguments.attempt or told, strict=not arguments.attempt and told is not None
    )


def _run_pilot(arguments: argparse.Namespace) -> int:
    from jobflow_remote.execution.pilot.options import PilotOptions
    from jobflow_remote.execution.pilot.pilot import run_pilot

    options = {key: value for key, value in vars(arguments).items() if key != "command"}
    return run_pilot(PilotOptions(**{**options, "preload": tuple(arguments.preload)}))


def _run_forkserver(arguments: argparse.Namespace) -> int:
    from jobflow_remote.execution.forkserver.server import run_server

    if arguments.lasting:
        from jobflow_remote.execution.forkserver.station import StationOptions, run_station

        options = StationOptions(arguments.most, arguments.pin, tuple(arguments.preload))
        return run_station(arguments.descriptor, options)
    if arguments.connect:
        from jobflow_remote.execution.pilot.relay import call_pilot

        connection = call_pilot()
        if connection is None:
            return 1
        number = connection.detach()
        return run_server(number, number, preload=arguments.preload)
    if not arguments.stdio:
        return run_server(arguments.descriptor, arguments.descriptor, preload=arguments.preload)
    reading, writing = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # whatever a module prints must not get between our lines
    return run_server(reading, writing, preload=arguments.preload)


def _run_relay(arguments: argparse.Namespace) -> int:
    from jobflow_remote.execution.pilot.relay import run_relay

    agent = ["--connect" if word == "--stdio" else word for word in arguments.agent]
    return run_relay(arguments.node, shlex.split(arguments.launcher), agent)
