"""From what a worker answered to findings: the cause of each failure, and what helps. Pure functions."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping, Sequence

from jobflow_remote.config.workers import DEFAULT_EXECUTION_CMD, WorkerBase
from jobflow_remote.control.checks.findings import Finding, error, last_lines, ok, warning
from jobflow_remote.control.checks.probe import FILES_WRITTEN, PACKAGES, Told, folders_of, program_of

CLOCK_SECONDS = 5.0
"""Clocks that differ by more make times of jobs hard to understand."""
SLOW_SECONDS = 2.0
"""Writing a few small files takes less on a healthy file system."""
LITTLE_SPACE_BYTES = 1 << 30
LITTLE_INODES = 1000

_FOLDER_FIXES = (
    (r"Not a directory|File exists", "a file is in its way: remove that, or choose another folder"),
    (r"Permission denied|not permitted", "give yourself the right to write there, or choose another folder"),
    (r"Read-only file system", "the file system can only be read there: choose another folder"),
    (r"No space left|quota", "make room there, or choose another folder"),
    (r"No such file", "a folder above it does not exist, and cannot be made: is the file system mounted?"),
)


def judge_folders(worker: WorkerBase, told: Told) -> list[Finding]:
    """Folders can be written to, have room, and are quick."""
    found = []
    for number, (key, path) in enumerate(folders_of(worker)):
        problem = told.get(f"folder_error_{number}")
        if problem:
            cause = last_lines(problem, 1)
            fix = next((fix for pattern, fix in _FOLDER_FIXES if re.search(pattern, cause)), None)
            found.append(error(key, f"{key} {path} cannot be written to: {cause}", fix))
            continue
        found.append(ok(key, f"{key} {path} can be written to"))
        found += _judge_room(key, path, told, number)
        nanoseconds = told.number(f"delay_{number}")
        if nanoseconds is not None:
            found.append(_judge_delay(key, path, nanoseconds / 1e9))
    return found


def _judge_room(key: str, path: str, told: Told, number: int) -> list[Finding]:
    kilobytes, inodes = told.number(f"space_{number}"), told.number(f"inodes_{number}")
    found = []
    if kilobytes is not None:
        text = f"{kilobytes / (1 << 20):.1f} GB are free in {path}"
        little = kilobytes * 1024 < LITTLE_SPACE_BYTES
        found.append(
            warning(
                f"{key} space",
                f"only {text}",
                "make room: `jf flow clean` deletes run folders of jobs that ended",
            )
            if little
            else ok(f"{key} space", text)
        )
    if inodes is not None and 0 < inodes < LITTLE_INODES:  # file systems without a limit say 0
        text = f"only {inodes} more files can be made in {path}"
        found.append(warning(f"{key} space", text, "delete files that nobody needs"))
    return found


def _judge_delay(key: str, path: str, seconds: float) -> Finding:
    text = f"{FILES_WRITTEN} small files took {seconds * 1000:.0f} ms in {path}"
    if seconds > SLOW_SECONDS:
        fix = "the file system is slow: choose a faster one for work_dir, or set `delay_download`"
        return warning(f"{key} delay", text, fix)
    return ok(f"{key} delay", text)


def judge_clock(difference_seconds: float, round_trip_seconds: float) -> Finding:
    """The clocks of both sides agree."""
    ahead = "ahead of" if difference_seconds > 0 else "behind"
    amount = abs(difference_seconds)
    if amount > CLOCK_SECONDS + round_trip_seconds / 2:
        return warning(
            "clock",
            f"the clock of the host is {amount:.0f} s {ahead} that of this machine",
            "let both machines set their clocks by NTP",
        )
    return ok("clock", f"the clocks differ by {amount:.1f} s")


def judge_shell(worker: WorkerBase, told: Told) -> Finding:
    """The shell prints nothing of its own."""
    banner = (told.get("banner") or told.noise).strip()
    if not banner:
        return ok("shell", "the shell prints nothing of its own")
    text = f"the shell prints text of its own: {last_lines(banner)}"
    if worker.sanitize_command:
        return ok("shell", text)
    return warning(
        "shell",
        text,
        "print it in interactive shells only ([[ $- == *i* ]] in .bashrc or .profile), or set `sanitize_command: true`",
    )


def judge_commands(needed: Sequence[str], useful: Sequence[str], told: Told) -> list[Finding]:
    """The scheduler's commands are found."""
    missing = [name for name in needed if not told.get(f"command_{name}")]
    if missing:
        return [
            error(
                "scheduler",
                f"commands of the scheduler are not found on {told.get('host') or 'the host'}: {', '.join(missing)}",
                "is `scheduler_type` right, and `host` a machine that submits jobs? Programs that only a login shell "
                "finds need `login_shell: true`",
            )
        ]
    found = [ok("scheduler", f"commands found: {', '.join(needed)}")] if needed else []
    without = [name for name in useful if not told.get(f"command_{name}")]
    if without:
        text = f"{', '.join(without)} not found: less is known about jobs that were killed"
        found.append(ok("scheduler", text))
    return found


def judge_environment(worker: WorkerBase, told: Told) -> list[Finding]:
    """The script finds the program that runs jobs, and that has what it needs."""
    complaint = last_lines(told.get("stderr"))
    program = program_of(worker)
    if "program" not in told.values:
        where = "pre_run" if worker.pre_run else "the shell"
        return [
            error(
                "pre_run",
                f"{where} ended the script before the job: {complaint or 'it said nothing'}",
                "it must not `exit`, and not `set -e` where something may fail",
            )
        ]
    found = [*_judge_pre_run(worker, told, complaint)]
    if not told.get("program"):
        default = (worker.execution_cmd or DEFAULT_EXECUTION_CMD) == DEFAULT_EXECUTION_CMD
        fix = (
            "install jobflow-remote on the worker, and let `pre_run` activate its environment"
            if default
            else "correct `execution_cmd`, or let `pre_run` make the program available"
        )
        text = f"the command {program!r} is not found by the script of a job"
        found.append(error("program", text + (f": {complaint}" if complaint else ""), fix))
        return found
    found.append(ok("program", f"{program} is {told.get('program')}"))
    return found + judge_versions(told, complaint)


def _judge_pre_run(worker: WorkerBase, told: Told, complaint: str) -> list[Finding]:
    code = told.number("pre_run_code")
    if not worker.pre_run or code == 0:
        return []
    text = f"the last command of pre_run failed with exit code {code}"
    if complaint:
        return [error("pre_run", f"{text}: {complaint}", "correct `pre_run` of the worker")]
    return [warning("pre_run", text, "if that is as it should be, end `pre_run` with `true`")]


def judge_versions(told: Told, complaint: str) -> list[Finding]:
    """Both sides have the same versions."""
    if not told.get("interpreter"):
        return [
            ok("versions", "the command is a program of your own: `--run` tells the versions that it uses")
        ]
    if not told.get("python"):
        text = f"the interpreter {told.get('interpreter')} does not run: {complaint or 'it said nothing'}"
        return [error("program", text, "make the environment on the worker anew")]
    versions = {name: told.get(f"version_{name}") or None for name in PACKAGES}
    found = [ok("versions", f"Python {told.get('python')} ({told.get('interpreter')})")]
    return found + compare_versions(versions, told.get("interpreter"))


def compare_versions(theirs: Mapping[str, str | None], where: str) -> list[Finding]:
    """Versions of jobflow and jobflow-remote on the worker against ours."""
    found = []
    for name in PACKAGES:
        ours, there = own_version(name), theirs.get(name)
        if there is None:
            found.append(
                error(
                    "versions",
                    f"{name} is not installed for {where}",
                    f"install it there: pip install {name}=={ours}",
                )
            )
        elif ours != there:
            found.append(
                warning(
                    "versions",
                    f"{name} is {there} on the worker and {ours} here",
                    f"install the same version on both sides: pip install {name}=={ours}",
                )
            )
        else:
            found.append(ok("versions", f"{name} {there} on both sides"))
    return found


def compare_packages(told: Told) -> list[Finding]:
    """All packages that both sides have, in other versions."""
    theirs = {
        key.removeprefix("package_"): value
        for key, value in told.values.items()
        if key.startswith("package_") and key.removeprefix("package_") not in PACKAGES
    }
    if not theirs:
        return []
    ours = {str(each.metadata["Name"]).lower(): each.version for each in importlib.metadata.distributions()}
    other = sorted(name for name in theirs if name in ours and ours[name] != theirs[name])
    if not other:
        return [ok("packages", "packages that both sides have are the same")]
    shown = ", ".join(f"{name} {theirs[name]} (here {ours[name]})" for name in other)
    return [warning("packages", f"other versions on the worker: {shown}")]


def own_version(name: str) -> str | None:
    """Version of a package here."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
