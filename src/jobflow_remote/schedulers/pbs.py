"""PBS (OpenPBS, PBS Professional, Torque): ``qsub``, ``qselect``, ``qstat -f``, ``qdel``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jobflow_remote.layout import QUEUE_ERR_FILENAME, QUEUE_OUT_FILENAME
from jobflow_remote.schedulers.dialect import Dialect, Left, Listed
from jobflow_remote.schedulers.naming import is_plain_path
from jobflow_remote.schedulers.port import HostJobState

_NAMES = """awk '/^Job Id: /{i=$3} /^ +Job_Name = /{n=$3} /^ +job_state = /{if ($3 ~ @) print i, n}'"""
_WALLTIME, _MEMORY = -29, -27
"""Exit_status of jobs that OpenPBS killed."""
_OVER = 256
"""Exit_status above it: killed by PBS with this signal more."""


class PbsDialect(Dialect):
    """Names of 15 letters are what every PBS takes. Output is copied into the run folder when the job is over."""

    name = "pbs"
    longest_name = 15
    copies_output = True
    job_id = "${PBS_JOBID:-}"
    submit = "qsub"
    find_id = r"s/^([0-9]+(\[[0-9]*\])?\.[A-Za-z0-9._-]+)$/\1/p"
    # a job that ends between the two commands makes the second one fail, with the others in its answer
    list_jobs = """local x r
x=$(jf_t qselect -u "$user") || { r=$?; printf '%s\\n' "$x"; return $r; }
[ -n "$x" ] || return 0
x=$(jf_t qstat -f $x 2>&1); r=$?; printf '%s\\n' "$x"
case $r in 0|35|153) ;; *) return $r; esac"""
    name_jobs = _NAMES.replace("@", "/^[^CFX]/")
    list_past_jobs = f"""x=$(jf_t qselect -x -u "$user" | tail -n 500)
[ -z "$x" ] || jf_t qstat -x -f $x | {_NAMES.replace("@", "/./")}"""
    count_jobs = 'jf_t qselect -u "$user" | wc -l'
    tell_past = 'jf_t qstat -x -f "$@"'
    cancel = 'jf_t qdel "$@"'
    away = (
        "cannot connect to server|connection refused|could not connect|no active server|server shutting down"
    )
    full = "would exceed|maximum number of jobs|max_queued|queue is not enabled|try again|temporarily"
    unclear = "premature end|end of file|timed out|timeout|connection reset|communication|no reply"
    own_words = "^=>> PBS"

    def place(self, name: str, run_dir: str) -> dict[str, Any]:
        folder = f"{run_dir}/" if is_plain_path(run_dir) else ""  # qsub runs in the run folder
        return {
            "job_name": name,
            "qout_path": folder + QUEUE_OUT_FILENAME,
            "qerr_path": folder + QUEUE_ERR_FILENAME,
        }

    def parse_list(self, text: str) -> dict[str, Listed]:
        found = {}
        for number, fields in _blocks(text):
            listed = _listed(fields)
            if listed is not None:
                found[number] = listed
        return found

    def parse_past(self, text: str) -> dict[str, list[Left]]:
        return {number: [_left(fields)] for number, fields in _blocks(text)}


def _blocks(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Id and attributes of each job; a value goes on in lines that begin with a tab."""
    for block in re.split(r"^Job Id: *", text.replace("\n\t", ""), flags=re.MULTILINE)[1:]:
        number, _, rest = block.partition("\n")
        fields = (line.strip().partition(" = ") for line in rest.splitlines())
        yield number.strip(), {key: value.strip() for key, equals, value in fields if equals}


def _listed(fields: Mapping[str, str]) -> Listed | None:
    name, word, comment = fields.get("Job_Name", ""), fields.get("job_state", ""), fields.get("comment")
    if word in ("R", "E", "B"):
        leaving = word == "E" or "terminated by" in (comment or "")
        return Listed(name, HostJobState.RUNNING, word, "it is ending" if leaving else None)
    if word in ("S", "U"):
        return Listed(name, HostJobState.RUNNING, word, comment or "suspended")
    if word in ("F", "C", "X", ""):
        return None
    held = f"held ({fields.get('Hold_Types', '?')})" if word == "H" else None
    later = f"waits until {fields['Execution_Time']}" if "Execution_Time" in fields else None
    return Listed(name, HostJobState.QUEUED, word, held or later or comment)


def _left(fields: Mapping[str, str]) -> Left:
    name, word, comment = fields.get("Job_Name", ""), fields.get("job_state", ""), fields.get("comment", "")
    told = fields.get("Exit_status") or fields.get("exit_status") or ""
    status = int(told) if told.lstrip("-").isdigit() else None
    who = re.search(r"(?:terminated|deleted) by (\S+)", comment)
    reason = None
    if status == _WALLTIME:
        reason = f"time limit of {fields.get('Resource_List.walltime', '?')} reached"
    elif status == _MEMORY:
        asked, used = fields.get("Resource_List.mem", "?"), fields.get("resources_used.mem", "?")
        reason = f"out of memory: it used {used} and had asked for {asked}"
    elif who:
        reason = f"cancelled by {who[1]}"
    elif "exceeded resource" in comment or (status is not None and status < 0):
        reason = comment or f"Exit_status {status}"
    elif status is None and word in ("F", "C"):
        reason = comment or "it never ran"
    code = status
    if status is not None and status > _OVER:
        code = 128 + status - _OVER
        reason = reason or "cancelled, or killed by PBS"
    if status is not None and status < 0:
        code = None
    return Left(name, word, word in ("F", "C", "X"), code, reason)
