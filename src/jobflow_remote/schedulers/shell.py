"""The shell as a scheduler: each job is a process group of its own, on this machine or over any connection.

A job's folder carries what is known about an attempt: a *started* file, made exclusively by the process that runs it
(pid and start time of the process, since a pid alone may be somebody else's by now), and an *exit* file with the exit
code. They make submission exactly-once (a second start of the same attempt finds the file and ends) and tell how a job
ended to a runner that was not there when it did. Jobs that are forked by a warm process leave the same files (see
:mod:`jobflow_remote.execution.forkserver.marks`), so that status and cancelling are the same for them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from jobflow_remote.errors import SchedulerBusyError, SchedulerError
from jobflow_remote.hosts.port import CommandResult
from jobflow_remote.layout import (
    EXIT_PREFIX,
    FORMER_ATTEMPT,
    QUEUE_ERR_FILENAME,
    QUEUE_OUT_FILENAME,
    STARTED_PREFIX,
    SUBMIT_FILENAME,
)
from jobflow_remote.schedulers.port import HostJob, HostJobState, HostJobStatus, Scheduler, SubmitAnswer

_KEYWORDS = ("job_name", "qout_path", "qerr_path", "qverbatim")
_QRESOURCES = {"output_filepath": "qout_path", "error_filepath": "qerr_path"}

START_TIME = r"""jf_start() { local x; if [ -d /proc/self ]; then
  { read -r x < "/proc/$1/stat"; } 2>/dev/null || return 1; x=${x##*) }; set -- $x; [ "$1" != Z ] && t=${20};
else t=$(ps -o lstart= -p "$1" 2>/dev/null) || return 1; t=${t// /_}; fi; }
"""
"""Bash: ``jf_start PID`` puts the start time of a process into ``t``, as a word: from /proc where there is one (Linux),
else from ps. It fails if there is no such process."""

# $1 run folder, $2 attempt. The job has a process group of its own, so that one which kills its group leaves the keeper
# alone; what it left behind in that group is ended with it. Its output is appended (to files that the upload removed):
# programs that open /dev/stdout anew, and whoever else writes there, would overwrite each other's lines.
_KEEPER = (
    START_TIME
    + rf"""cd "$1" || exit 98
jf_start $$; set -C; {{ echo "$$ $t" > "{STARTED_PREFIX}$2"; }} 2>/dev/null || exit 97; set +C; set -m
bash {SUBMIT_FILENAME} >> {QUEUE_OUT_FILENAME} 2>> {QUEUE_ERR_FILENAME} < /dev/null &
job=$!
trap 'kill -TERM -- -$job; (sleep 10; kill -KILL -- -$job) & ' TERM
while :; do wait $job; code=$?; kill -0 $job 2>/dev/null || break; done
kill -KILL -- -$job 2>/dev/null
echo $code > "{EXIT_PREFIX}$2.part" && mv -f "{EXIT_PREFIX}$2.part" "{EXIT_PREFIX}$2"
"""
)

_SUBMIT = f"""K={shlex.quote(_KEEPER)}
if command -v setsid >/dev/null; then apart=setsid; else apart=; set -m; fi
s() {{
  local f="$1/{STARTED_PREFIX}$2" i p=
  if [ -e "$f" ]; then  # its first line may be about to come
    for i in 1 2 3 4 5 6 7 8 9 10; do read -r p t _ < "$f" && [ -n "$p" ] && break; sleep 0.1; done
    if [ -n "$p" ]; then echo "$2 $p"; else echo "$2 error $f is empty"; fi; return
  fi
  if [ ! -f "$1/{SUBMIT_FILENAME}" ]; then echo "$2 error $1/{SUBMIT_FILENAME} does not exist"; return; fi
  $apart bash -c "$K" jobflow-remote "$1" "$2" >/dev/null 2>&1 </dev/null & echo "$2 $!"
}}
"""

# Jobs that an older release started left no file: there is only the pid, and where the process works.
_FORMER = r"""former() { jf_start "$2" && { [ ! -e "/proc/$2/cwd" ] || [ "/proc/$2/cwd" -ef "$1" ]; }; }
"""

_STATUS = f"""{START_TIME}{_FORMER}
s() {{ p=
  if [ -e "$1/{STARTED_PREFIX}$2" ]; then
    read -r p s _ < "$1/{STARTED_PREFIX}$2"
    if [ -n "$p" ] && jf_start "$p" && [ "$t" = "$s" ] && [ ! -e "$1/{EXIT_PREFIX}$2" ]; then
      echo "$2 running $p"; return; fi
    if [ -z "$p" ]; then echo "$2 queued"; return; fi
  fi
  if [ -e "$1/{EXIT_PREFIX}$2" ]; then read -r c < "$1/{EXIT_PREFIX}$2"; echo "$2 ended $c $p"; return; fi
  case $2 in {FORMER_ATTEMPT}*)
    if [ -n "$3" ] && former "$1" "$3"; then echo "$2 running $3"; else echo "$2 left $3"; fi; return;; esac
  if [ -z "$p" ]; then  # it had not begun when first looked at: it may have meanwhile
    if [ -n "$3" ] && jf_start "$3"; then echo "$2 queued"; return; fi
    if [ -e "$1/{STARTED_PREFIX}$2" ]; then echo "$2 queued"; return; fi
  fi
  echo "$2 gone $p"
}}
"""

_CANCEL = f"""{START_TIME}{_FORMER}
s() {{
  case $2 in {FORMER_ATTEMPT}*)
    [ -n "$3" ] && former "$1" "$3" && kill -TERM $(ps -o pid= --ppid "$3") "$3" 2>/dev/null
    return 0;; esac
  local f="$1/{STARTED_PREFIX}$2" i how; p=
  (set -C; echo "0 0" > "$f") 2>/dev/null && return 0
  for i in 1 2 3 4 5; do read -r p s how _ 2>/dev/null < "$f"; [ -n "$p" ] && break; sleep 0.1; done
  if [ -z "$p" ]; then [ -d "$1" ] && echo "0 0" > "$f"; return 0; fi
  jf_start "$p" && [ "$t" = "$s" ] || return 0
  [ "$how" = fork ] || {{ kill -TERM "$p" 2>/dev/null; return 0; }}
  kill -TERM -- "-$p" 2>/dev/null
  (sleep 10; jf_start "$p" && [ "$t" = "$s" ] && kill -KILL -- "-$p") >/dev/null 2>&1 </dev/null &
}}
"""


def _calls(jobs: Sequence[HostJob]) -> str:
    return "".join(
        f"s {shlex.quote(job.run_dir)} {shlex.quote(job.attempt)} {shlex.quote(job.process_id or '')}\n"
        for job in jobs
    )


class ShellScheduler(Scheduler):
    """Runs jobs at once, as processes."""

    can_watch = True

    def render_header(
        self, *, name: str, run_dir: str, resources: Mapping[str, Any], attempt: str = ""
    ) -> str:
        resources = own_keywords(resources)
        for key in resources:
            if key not in _KEYWORDS:
                near = get_close_matches(key, _KEYWORDS, n=1)
                raise SchedulerError(
                    f"the shell scheduler knows no resource {key!r}"
                    + (f"; did you mean {near[0]!r}?" if near else ""),
                    hint=f"it knows {', '.join(_KEYWORDS)}",
                )
        lines = [f"# job: {resources.get('job_name') or name}".replace("\n", " ")]
        if resources.get("qout_path"):
            lines.append(f"exec > {shlex.quote(str(resources['qout_path']))}")
        if resources.get("qerr_path"):
            lines.append(f"exec 2> {shlex.quote(str(resources['qerr_path']))}")
        if resources.get("qverbatim"):
            lines.append(str(resources["qverbatim"]))
        return "\n".join(lines)

    def render_submit(self, jobs: Sequence[HostJob]) -> str:
        return _SUBMIT + _calls(jobs)

    def parse_submit(self, answer: CommandResult, jobs: Sequence[HostJob]) -> list[SubmitAnswer]:
        lines = dict(line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line)
        answers = []
        for job in jobs:
            word = lines.get(job.attempt, "")
            if word.isdigit():
                answers.append(SubmitAnswer(process_id=word))
            else:
                said = word.removeprefix("error ") or answer.stderr.strip()[-500:] or "the shell said nothing"
                answers.append(SubmitAnswer(error=said))
        return answers

    def render_status(self, jobs: Sequence[HostJob]) -> str:
        return _STATUS + _calls(jobs)

    def parse_status(self, answer: CommandResult, jobs: Sequence[HostJob]) -> list[HostJobStatus]:
        lines = {
            words[0]: words[1:] for words in map(str.split, answer.stdout.splitlines()) if len(words) > 1
        }
        if jobs and not lines:
            raise SchedulerBusyError(
                f"no status from the shell: {answer.stderr.strip()[-300:] or 'no answer'}"
            )
        return [_status(lines.get(job.attempt)) for job in jobs]

    def render_cancel(self, jobs: Sequence[HostJob]) -> str:
        return _CANCEL + _calls(jobs)


def own_keywords(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Resources in the shell's words; a serialised QResources is translated without what it leaves open."""
    if "@class" not in resources:
        return dict(resources)
    given = {
        key: value for key, value in resources.items() if value not in (None, {}) and not key.startswith("@")
    }
    if given.get("processes", 1) == 1:  # one process is what a shell runs
        given.pop("process_placement", None)
        given.pop("processes", None)
    return {_QRESOURCES.get(key, key): value for key, value in given.items()}


def _status(words: list[str] | None) -> HostJobStatus:
    match words:
        case ["running", pid]:
            return HostJobStatus(HostJobState.RUNNING, process_id=pid)
        case ["ended", code, *pid]:
            return HostJobStatus(HostJobState.ENDED, int(code), process_id=pid[0] if pid else None)
        case ["left", *pid]:
            return HostJobStatus(HostJobState.ENDED, process_id=pid[0] if pid else None)
        case ["gone", *pid]:
            return HostJobStatus(
                HostJobState.ENDED,
                reason="its processes are gone and left no exit code: killed together with the process that kept them",
                process_id=pid[0] if pid else None,
            )
        case _:
            return HostJobStatus(HostJobState.QUEUED)
