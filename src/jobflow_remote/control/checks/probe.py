"""The commands that look at a worker, and how their answers read. Text in, text out.

Answers are lines ``jf|key|value``, so that whatever the host or the user's own lines print does not matter.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobflow_remote.config.workers import BaseRemoteWorker, WorkerBase
from jobflow_remote.schedulers.port import Scheduler
from jobflow_remote.schedulers.script import DEFAULT_COMMAND

PACKAGES = ("jobflow-remote", "jobflow")
"""Their versions should be the same on both sides."""
FILES_WRITTEN = 10
"""How many small files are written to see how quick the file system is."""

_COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "slurm": (("sbatch", "squeue", "scancel"), ("sacct", "scontrol")),
    "sge": (("qsub", "qstat", "qdel"), ("qacct",)),
    "pbs": (("qsub", "qstat", "qdel"), ()),
}
"""Commands that a scheduler needs, and those that let it say more."""

_NEWLINE = "\x1e"
_SAY = r"""jf_say() { printf 'jf|%s|%s\n' "$1" "${2//$'\n'/$'\x1e'}"; }
"""

# $1: number of the folder, $2: the folder. Files are written, read and removed as jobs and runner do.
_FOLDER = f"""jf_folder() {{
  local out file begin end i
  out=$(mkdir -p -- "$2" 2>&1) || {{ jf_say "folder_error_$1" "${{out:-mkdir failed}}"; return; }}
  file=$(mktemp "$2/.jfremote_check.XXXXXX" 2>&1) || {{ jf_say "folder_error_$1" "$file"; return; }}
  begin=$(date +%s%N)
  for i in {{1..{FILES_WRITTEN}}}; do
    out=$( {{ echo x > "$file.$i" && read -r out < "$file.$i" && rm -f -- "$file.$i"; }} 2>&1) || break; done
  end=$(date +%s%N); rm -f -- "$file"
  [ -z "$out" ] || {{ jf_say "folder_error_$1" "$out"; return; }}
  case $end in *[!0-9]*) ;; *) jf_say "delay_$1" $((end - begin));; esac
  jf_say "space_$1" "$(df -Pk -- "$2" 2>/dev/null | awk 'NR == 2 {{ print $(NF - 2) }}')"
  jf_say "inodes_$1" "$(df -Pi -- "$2" 2>/dev/null | awk 'NR == 2 {{ print $(NF - 2) }}')"
}}
"""

_VERSIONS = """import sys, importlib.metadata as m
print("jf|python|%d.%d.%d" % sys.version_info[:3])
for n in {names}:
    try: print("jf|version_" + n + "|" + m.version(n))
    except m.PackageNotFoundError: print("jf|version_" + n + "|")
"""
_ALL_VERSIONS = """for d in m.distributions(): print("jf|package_" + str(d.metadata["Name"]).lower() + "|" + d.version)
"""

# The interpreter of a console script stands in its first lines (#!, or exec where that would be too long). Of other
# programs (containers, wrappers) nobody knows what they run in the end.
_ENVIRONMENT = """py=; p=$(command -v -- {program}); jf_say program "$p"
case ${{p##*/}} in
  python*) py={python};;
  jf) py=$(head -n 3 -- "$p" 2>/dev/null | LC_ALL=C grep -aoE '/[^ "'"'"']*python[0-9.]*' | head -n 1);;
esac
[ -z "$py" ] || {{ jf_say interpreter "$py"; "$py" -c {code}; jf_say versions_code $?; }}
"""


@dataclass(frozen=True)
class Told:
    """The answers of a probe, by key."""

    values: dict[str, str] = field(default_factory=dict)
    noise: str = ""
    """What was printed before the first answer, and is none of ours."""

    def get(self, key: str) -> str:
        """An answer; empty if there is none."""
        return self.values.get(key, "")

    def number(self, key: str) -> int | None:
        """An answer that is a number."""
        text = self.get(key)
        return int(text) if re.fullmatch(r"-?\d+", text) else None


def parse_answers(text: str) -> Told:
    """What a probe answered."""
    values: dict[str, str] = {}
    noise: list[str] = []
    for line in text.split("\n"):  # not splitlines(), to which our mark for a line break is one
        words = line.split("|", 2)
        if len(words) == 3 and words[0] == "jf":
            values.setdefault(words[1], words[2].replace(_NEWLINE, "\n"))
        elif not values and line:
            noise.append(line)
    return Told(values, "\n".join(noise))


def commands_of(scheduler: Scheduler) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Commands that have to be on the host for a scheduler, and those that let it say more."""
    dialect = getattr(scheduler, "dialect", None)
    if dialect is None:
        return (), ()
    needed, useful = _COMMANDS.get(dialect.name, ((), ()))
    submit = shlex.split(dialect.submit)[0]
    return tuple(dict.fromkeys((submit, *needed[1:]))), useful


def folders_of(worker: WorkerBase) -> list[tuple[str, str]]:
    """Folders that a worker writes to: key of the project file and path."""
    folders = [("work_dir", str(worker.work_dir))]
    if worker.batch is not None:
        folders.append(("batch.jobs_handle_dir", str(worker.batch.jobs_handle_dir)))
        folders.append(("batch.work_dir", str(worker.batch.work_dir)))
    return folders


def render_host_probe(worker: WorkerBase, commands: Sequence[str]) -> str:
    """Look at the host: who and where we are, folders, commands, what its shell prints by itself."""
    lines = [_SAY + _FOLDER, "export LC_ALL=C", 'jf_say host "$(hostname)"', 'jf_say user "$(id -un)"']
    for number, (_, folder) in enumerate(folders_of(worker)):
        lines.append(f"jf_folder {number} {shlex.quote(folder)}")
    for command in commands:
        lines.append(f'jf_say {shlex.quote("command_" + command)} "$(command -v -- {shlex.quote(command)})"')
    if isinstance(worker, BaseRemoteWorker) and worker.shell_cmd is not None:
        login = " -l" if worker.login_shell else ""
        shell = f"{worker.shell_cmd}{login} -c true </dev/null 2>&1"
        lines.append(f'jf_say banner "$({shell} | head -c 400)"')
    return "\n".join(lines) + "\n"


def render_environment_probe(worker: WorkerBase, *, all_packages: bool = False) -> str:
    """Look at what a job would find: as in its script, up to the command that runs it."""
    code = _VERSIONS.format(names=repr(PACKAGES)) + (_ALL_VERSIONS if all_packages else "")
    inner = [_SAY, f"cd -- {shlex.quote(str(worker.work_dir))}", "jf_say begin 1"]
    if worker.pre_run:
        inner += [worker.pre_run.rstrip(), "jf_say pre_run_code $?"]
    if worker.is_local:  # the runner's own environment is found without being activated
        own = shlex.quote(os.path.dirname(sys.executable))
        inner.append(f'export PATH="$PATH":{own}' if worker.pre_run else f'export PATH={own}:"$PATH"')
    python = "$p" if "-m jobflow_remote" in (worker.execution_cmd or "") else ""
    program = shlex.quote(program_of(worker))
    inner.append(_ENVIRONMENT.format(program=program, python=python, code=shlex.quote(code)))
    text = shlex.quote("\n".join(inner))
    return (
        f'{_SAY}exec 3>&1; err=$(bash -c {text} 2>&1 >&3 </dev/null | tail -c 2000); jf_say stderr "$err"\n'
    )


def program_of(worker: WorkerBase) -> str:
    """The program that ``execution_cmd`` begins with."""
    command = worker.execution_cmd or DEFAULT_COMMAND
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    while words and re.fullmatch(r"\w+=.*", words[0]):  # variables in front of the command
        words = words[1:]
    return words[0] if words else "jf"
