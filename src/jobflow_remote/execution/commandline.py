"""What the submission script calls."""

from __future__ import annotations

import argparse

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
    return parser


def run_command_line(argv: list[str] | None = None) -> int:
    """Do what ``argv`` asks for; returns the exit code."""
    arguments = _parser().parse_args(argv)
    return run_job(arguments.folder, attempt=arguments.attempt)
