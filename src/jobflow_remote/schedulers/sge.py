"""Grid Engine: ``qsub``, ``qstat -xml``, ``qacct``, ``qdel``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from jobflow_remote.layout import QUEUE_ERR_FILENAME, QUEUE_OUT_FILENAME
from jobflow_remote.schedulers.dialect import Dialect, Left, Listed
from jobflow_remote.schedulers.naming import is_plain_path
from jobflow_remote.schedulers.port import HostJobState

_QACCT_NAMES = """awk '/^jobname /{n=$2} /^jobnumber /{print $2, n}'"""


class SgeDialect(Dialect):
    """Accounting is a file that ``qacct`` reads: only jobs without a good exit code of their own are looked up."""

    name = "sge"
    job_id = "${JOB_ID:-}"
    submit = "qsub"
    find_id = r"s/^.*[Yy]our job(-array)? ([0-9]+)[. ].*submitted.*$/\2/p; s/^([0-9]+)(\.[0-9:-]+)?$/\1/p"
    # a job in error state is listed without the reason
    list_jobs = """local x i
x=$(jf_t qstat -u "$user" -xml) || { i=$?; printf '%s\\n' "$x"; return $i; }
printf '%s\\n' "$x"
for i in $(printf '%s\\n' "$x" | awk '/<JB_job_number>/{gsub(/<[^>]*>| /,""); n=$0} /<state>[^<]*E/{print n}'); do
  printf 'error|%s|%s\\n' "$i" "$(jf_t qstat -j "$i" 2>/dev/null | sed -n 's/^error reason[^:]*: *//p' | head -n 1)"
done"""
    name_jobs = """awk '{v=$0; gsub(/<[^>]*>| /,"",v)} /<JB_job_number>/{i=v} /<JB_name>/{print i, v}'"""  # no nesting
    list_past_jobs = f'jf_t qacct -o "$user" -d 1 -j | {_QACCT_NAMES}'
    count_jobs = """jf_t qstat -u "$user" -xml | sed -n '/<JB_job_number>/p' | wc -l"""
    tell_past = 'local i; for i; do jf_t qacct -j "$i"; done'
    cancel = 'jf_t qdel "$@"'
    away = "unable to (send message|contact)|got select error|connection refused|can.?t (connect|resolve)"
    full = "are allowed per user|job count|max_u_jobs|max_jobs|maximum number of|temporarily|try again"
    unclear = r"timed out|timeout|receive error|read error|connection reset"
    own_words = r"^(sge_|=>>)|exceed(s|ed) .*limit"
    accounting_lag_seconds = 20

    def place(self, name: str, run_dir: str) -> dict[str, Any]:
        folder = f"{run_dir}/" if is_plain_path(run_dir) else ""  # qsub runs in the run folder
        return {
            "job_name": name,
            "qout_path": folder + QUEUE_OUT_FILENAME,
            "qerr_path": folder + QUEUE_ERR_FILENAME,
        }

    def more_directives(self, given: Mapping[str, Any]) -> Sequence[str]:
        # else jobs begin at home, and many sites start them with csh whatever #! says
        return ("#$ -cwd", "#$ -S /bin/bash")

    def parse_list(self, text: str) -> dict[str, Listed]:
        errors = dict(line.split("|", 2)[1:] for line in text.splitlines() if line.startswith("error|"))
        begin, end = text.find("<?xml"), text.rfind(">") + 1
        if begin < 0:
            return {}
        found = {}
        for job in ElementTree.fromstring(text[begin:end]).iter("job_list"):
            number = (job.findtext("JB_job_number") or "").strip()
            word = (job.findtext("state") or "").strip()
            name = (job.findtext("JB_name") or "").strip()
            found[number] = _listed(name, word, errors.get(number))
        return found

    def parse_past(self, text: str) -> dict[str, list[Left]]:
        found: dict[str, list[Left]] = {}
        for block in re.split(r"^=+$", text, flags=re.MULTILINE):
            fields = {
                words[0]: words[1].strip()
                for line in block.splitlines()
                if len(words := line.split(None, 1)) == 2
            }
            if "jobnumber" in fields:
                found.setdefault(fields["jobnumber"], []).append(_left(fields))
        return found


def _listed(name: str, word: str, error: str | None) -> Listed:
    if "E" in word:
        return Listed(
            name, HostJobState.ENDED, word, f"the scheduler could not start it: {error or 'error state'}"
        )
    if "d" in word:
        return Listed(name, HostJobState.RUNNING, word, "it is being deleted")
    if set(word) & set("sST"):
        return Listed(name, HostJobState.RUNNING, word, "suspended")
    if set(word) & set("rt"):
        return Listed(name, HostJobState.RUNNING, word)
    return Listed(name, HostJobState.QUEUED, word, "held" if "h" in word else None)


def _left(fields: Mapping[str, str]) -> Left:
    failed = fields.get("failed", "0")
    number = int(re.match(r"\d*", failed)[0] or 0)  # type: ignore[index]
    status = re.match(r"\d+", fields.get("exit_status", ""))
    code = int(status[0]) if status else None
    reason = None
    deleted_by = fields.get("deleted_by", "NONE")
    if deleted_by not in ("NONE", "undefined"):
        reason = f"cancelled by {deleted_by}"
    elif number == 37:
        reason = _limit(fields)
    elif number == 100 and code is not None and code > 128:
        reason = "deleted (qdel), or killed from outside"
    elif number:
        reason = f"the scheduler says: failed {' '.join(failed.split())}"
    if number not in (0, 37, 100):
        code = None  # the job never ran, or nobody saw how it ended
    return Left(fields.get("jobname", ""), "ENDED" if not number else "FAILED", True, code, reason)


def _limit(fields: Mapping[str, str]) -> str:
    """Which of the limits that Grid Engine has one number for."""
    asked = dict(re.findall(r"(h_rt|s_rt|h_vmem|h_cpu)=([^, ]+)", fields.get("category", "")))
    used = re.match(r"\d+", fields.get("ru_wallclock", ""))
    seconds = int(used[0]) if used else 0
    limit = asked.get("h_rt", "")
    if limit.isdigit() and seconds >= int(limit):
        return f"time limit of {limit} s reached"
    if "h_vmem" in asked and not limit:
        return f"memory limit of {asked['h_vmem']} reached (it used {fields.get('maxvmem', '?')})"
    if not asked:
        return f"time limit of the queue {fields.get('qname', '?')} reached after {seconds} s"
    wanted = ", ".join(f"{key}={value}" for key, value in asked.items())
    return f"a limit was reached ({wanted}; it ran {seconds} s and used {fields.get('maxvmem', '?')})"
