"""Slurm: ``sbatch``, ``squeue``, ``sacct`` where there is accounting, ``scancel``."""

from __future__ import annotations

import re
from typing import Any

from jobflow_remote.layout import QUEUE_ERR_FILENAME, QUEUE_OUT_FILENAME
from jobflow_remote.schedulers.dialect import Dialect, Left, Listed
from jobflow_remote.schedulers.naming import is_plain_path
from jobflow_remote.schedulers.port import HostJobState

_LIST_FIELDS = "%F|%T|%r|%l|%N|%j"
_SACCT_FIELDS = "JobIDRaw,State,ExitCode,Timelimit,NodeList,Reason,JobName"

_SCONTROL_CODE = re.compile(r"^JobId=(\d+) .*? ExitCode=(\d+:\d+) ", re.MULTILINE)

_RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "STAGE_OUT", "SIGNALING", "RESIZING"}
_WAITING = {
    "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT",
}  # fmt: skip


class SlurmDialect(Dialect):
    """A job's name carries the attempt; ``squeue`` tells pending reasons, ``sacct`` who cancelled a job."""

    name = "slurm"
    job_id = "${SLURM_JOB_ID:-}"
    submit = "sbatch"
    find_id = r"s/^.*[Ss]ubmitted batch job ([0-9]+).*$/\1/p; s/^([0-9]+)(;.*)?$/\1/p"
    list_jobs = f'jf_t squeue -h -u "$user" -o {_LIST_FIELDS!r}'
    name_jobs = r"sed -nE 's/^([0-9]+)\|.*\|([^|]*)$/\1 \2/p'"
    list_past_jobs = (
        'jf_t squeue -h -t all -u "$user" -o "%F %j"; command -v sacct >/dev/null '
        """&& jf_t sacct -n -X -P -u "$user" -S now-1days -o JobIDRaw,JobName | sed 's/|/ /'"""
    )
    count_jobs = 'jf_t squeue -h -r -u "$user" -o %F | wc -l'
    tell_past = (
        f'IFS=,; ids="$*"; unset IFS; jf_t squeue -h -t all -j "$ids" -o {_LIST_FIELDS!r}\n'
        f'command -v sacct >/dev/null && past=$(jf_t sacct -n -X -P -j "$ids" -o {_SACCT_FIELDS}) '
        """&& printf '%s\\n' "$past" | sed 's/^/sacct|/'
for u in $(printf '%s\\n' "$past" | sed -nE 's/.*\\|CANCELLED by ([0-9]+)\\|.*/\\1/p' | sort -u); do
  printf 'user|%s|%s\\n' "$u" "$(id -nu "$u" 2>/dev/null)"; done
[ -n "$past" ] || for u; do jf_t scontrol show job -o "$u" 2>/dev/null; done"""
    )
    cancel = 'jf_t scancel "$@"'
    away = "unable to contact slurm controller|connection refused|unable to establish connection"
    full = (
        "temporarily unable|QOSMax|QOSGrp|AssocMax|AssocGrp|MaxSubmit|submit limit|MaxJobCount|max.*job.*limit|"
        "resource temporarily unavailable|slurm backup controller in standby"
    )
    unclear = "timed out|timeout|zero bytes|receive failure|connection reset|communication|header lengths"
    own_words = r"^slurm(stepd|d)|oom.kill|out of memory"

    def place(self, name: str, run_dir: str) -> dict[str, Any]:
        # sbatch runs in the run folder; % begins a pattern, and a blank would need quotes
        folder = f"{run_dir}/" if is_plain_path(run_dir) else ""
        return {
            "job_name": name,
            "qout_path": folder + QUEUE_OUT_FILENAME,
            "qerr_path": folder + QUEUE_ERR_FILENAME,
        }

    def parse_list(self, text: str) -> dict[str, Listed]:
        found = {}
        for line in text.splitlines():
            words = line.split("|", 5)
            if len(words) != 6 or words[1] not in _RUNNING | _WAITING:
                continue
            number, state, reason, _, _, name = words
            running = state in _RUNNING
            told = None if reason in ("None", "(null)", "") else reason
            if state in ("SUSPENDED", "STOPPED"):
                told = told or state.lower()
            found[number] = Listed(
                name, HostJobState.RUNNING if running else HostJobState.QUEUED, state, told
            )
        return found

    def parse_past(self, text: str) -> dict[str, list[Left]]:
        users = dict(line.split("|")[1:3] for line in text.splitlines() if line.startswith("user|"))
        codes = dict(_SCONTROL_CODE.findall(text))
        found: dict[str, list[Left]] = {}
        for line in text.splitlines():
            words = line.removeprefix("sacct|").split("|", 6)
            if line.startswith("sacct|") and len(words) == 7:
                number, state, code, limit, nodes, reason, name = words
            elif len(words) == 6 and words[0].isdigit():
                number, state, reason, limit, nodes, name = words
                code = codes.get(number, "")
            else:
                continue
            found.setdefault(number, []).append(_left(name, state, code, limit, nodes, reason, users))
        return {number: _settle(said) for number, said in found.items()}


def _settle(said: list[Left]) -> list[Left]:
    """The controller knows of an end before accounting does, which knows more: wait for it."""
    controller, *accounting = said
    if not accounting:
        return said
    if accounting[-1].final or not controller.final:
        return accounting
    return [Left(controller.name, controller.queue_state, False, controller.exit_code, controller.reason)]


def _left(
    name: str, state: str, code: str, limit: str, nodes: str, reason: str, users: dict[str, str]
) -> Left:
    word, _, by = state.partition(" by ")
    word = word.split(" ")[0].rstrip("+")
    texts = {
        "TIMEOUT": f"time limit of {limit} reached",
        "DEADLINE": "its deadline was reached",
        "OUT_OF_MEMORY": "out of memory: it used more than it had asked for",
        "NODE_FAIL": f"node failure ({nodes})" if nodes else "node failure",
        "BOOT_FAIL": f"node failure: {nodes or 'a node'} did not boot",
        "PREEMPTED": "preempted by another job",
        "REVOKED": "revoked",
    }
    text = texts.get(word)
    if word == "CANCELLED":
        who = users.get(by) or (f"user {by}" if by else "")
        text = f"cancelled by {who}" if who else "cancelled"
    elif word == "FAILED" and reason not in ("None", "NonZeroExitCode", "(null)", ""):
        text = reason
    if word not in ("COMPLETED", "FAILED") and not _exit_code(code):
        code = ""  # Slurm's 0 is not the job's
    final = word not in _RUNNING | _WAITING
    return Left(name, word, final, _exit_code(code) if final else None, text if final else None)


def _exit_code(text: str) -> int | None:
    """``3:0`` is an exit code, ``0:9`` a signal; 125 and more as a signal are marks of Slurm's own."""
    code, _, number = text.partition(":")
    if not code.isdigit():
        return None
    signal = int(number) if number.isdigit() else 0
    return 128 + signal if 0 < signal < 65 else int(code) if not signal else None
