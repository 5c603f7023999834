"""What runs on the host of a batch system: bash, put together around the commands of a dialect.

Each script answers for any number of jobs at once, in lines that begin with ``jf|`` (so that a banner of the host does
not matter) and end with ``jf|done``. Whatever a script has to remember is in the run folder of the job.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from jobflow_remote.layout import (
    EXIT_PREFIX,
    GONE_PREFIX,
    OUT_FILENAME,
    QUEUE_ERR_FILENAME,
    STARTED_PREFIX,
    SUBMIT_FILENAME,
    SUBMITTED_PREFIX,
    TAKEN_PREFIX,
)
from jobflow_remote.schedulers.dialect import Dialect
from jobflow_remote.schedulers.naming import attempt_token
from jobflow_remote.schedulers.port import HostJob
from jobflow_remote.schedulers.shell import START_TIME

WITHDRAWN = "-"
"""In the place of a job's id: the attempt must not begin any more."""
EXIT_DUPLICATE = 97
"""A second copy of an attempt ended without doing anything."""


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What a worker's configuration says about its scheduler."""

    username: str | None = None
    """Whose jobs to ask for; None: those of the login."""
    max_submitted: int | None = None
    """Most jobs of the user in the queue, whoever submitted them."""
    answer_seconds: int = 25
    """A command of the scheduler that takes longer counts as not answering."""
    budget_seconds: int = 30
    """Time after which a script begins no further submission."""
    settle_seconds: int = 30
    """A submission that nobody answered is known to the scheduler after this time, or was lost."""


# jf_t: a command of the scheduler, which may hang (jf_x: the same, as the last word of a subshell; each process that
# is saved counts where hundreds are submitted). jf_say: one line of the answer, about one attempt.
_COMMON = """now=$(date +%s); user=@USER@; [ -n "$user" ] || user=$(id -un)
export SLURM_TIME_FORMAT=standard LC_ALL=C
jf_x=; if command -v timeout >/dev/null; then jf_x="exec timeout @ANSWER@"; fi
jf_t() { if [ -n "$jf_x" ]; then timeout @ANSWER@ "$@"; else "$@"; fi; }
jf_say() { local x=${3//$'\\n'/ }; printf 'jf|%s|%s|%s\\n' "$1" "$2" "${x//$'\\r'/ }"; }
jf_list() { @LIST@
}
jf_name() { @NAME@
}
"""

# The shell may have been there for hours: its clock is set to zero.
_SUBMIT = r"""declare -A known; asked= away= slow=; room=@MAX@; SECONDS=0
jf_find() {
  [ -z "$asked" ] || return 0
  local list i n
  list=$(jf_list 2>&1) || { away=${list:-the scheduler does not answer}; return 1; }
  while read -r i n; do [ -n "$n" ] && known[${n##*-}]=$i; done < <(printf '%s\n' "$list" | jf_name; { @PAST@
  } 2>/dev/null)
  asked=1
}
jf_room() {
  [ "$room" = any ] && return 0
  if [ "${room#of }" != "$room" ]; then
    room=${room#of }; local n
    n=$(set -o pipefail; @COUNT@) 2>/dev/null || n=
    case $n in ''|*[!0-9]*) away="the user's jobs in the queue could not be counted"; room="of $room"; return 1;; esac
    most=$room room=$((room - n))
  fi
  [ "$room" -gt 0 ]
}
jf_submit() { # run folder, attempt, token
  local a=$2 k i=1 id= x= out rc host pid start at
  cd -- "$1" 2>/dev/null || { jf_say "$a" error "the folder $1 does not exist"; return; }
  [ -f @SCRIPT@ ] || { jf_say "$a" error "$1/@SCRIPT@ does not exist"; return; }
  read -r id x 2>/dev/null < "@STARTED@$a"
  [ "$id" != @WITHDRAWN@ ] || { jf_say "$a" error "the attempt was withdrawn"; return; }
  [ -z "$id" ] || { jf_say "$a" ok "$id"; return; }
  while :; do
    k=@SUBMITTED@$a; [ $i = 1 ] || k=$k.$i
    if [ ! -e "$k" ]; then
      [ $SECONDS -lt @BUDGET@ ] || slow="the scheduler takes its time; the rest is submitted later"
      [ -z "$away$slow" ] || { jf_say "$a" busy "${away:-$slow}"; return; }
      jf_room || { jf_say "$a" busy "${away:-the user has $most jobs in the queue: max_submitted_user_jobs}"; return; }
      jf_start $$
      set -C; { echo "$HOSTNAME $$ $t $now" > "$k"; } 2>/dev/null && { set +C; break; }
      set +C
      [ -e "$k" ] || { jf_say "$a" error "cannot write in $1"; return; }
    fi
    id= host= pid= start= at=
    { read -r host pid start at; read -r x id; } < "$k"
    [ -z "$id" ] || { jf_say "$a" ok "$id"; return; }
    if [ "$host" = "$HOSTNAME" ] && [ "$pid" != $$ ] && jf_start "$pid" && [ "$t" = "$start" ]; then
      jf_say "$a" busy "another command is submitting it"; return; fi
    jf_find || { jf_say "$a" busy "$away"; return; }
    if [ -n "${known[$3]-}" ]; then
      echo "id ${known[$3]}" >> "$k"; jf_say "$a" ok "${known[$3]}"; return; fi
    x=$((now - ${at:-0}))
    if [ $x -lt @SETTLE@ ]; then
      jf_say "$a" busy "it was handed over $x s ago and the scheduler does not know of it (yet)"; return; fi
    i=$((i + 1))
  done
  out=$($jf_x @SUBMIT@ @SCRIPT@ </dev/null 2>&1); rc=$?
  id=$(sed -nE @FINDID@ <<< "$out"); id=${id%%$'\n'*}
  if [ -n "$id" ]; then
    echo "id $id" >> "$k"; [ "$room" = any ] || room=$((room - 1)); jf_say "$a" ok "$id"; return; fi
  shopt -s nocasematch
  if [ $rc = 124 ] || [ $rc = 137 ] || [[ $out =~ @UNCLEAR@ ]]; then
    away=${out:-the scheduler did not answer}; jf_say "$a" busy "$away"
  elif [[ $out =~ @AWAY@ ]]; then away=$out; rm -f "$k"; jf_say "$a" busy "$out"
  elif [[ $out =~ @FULL@ ]]; then rm -f "$k"; jf_say "$a" busy "$out"
  else rm -f "$k"; jf_say "$a" error "${out:-it ended with code $rc and said nothing}"; fi
  shopt -u nocasematch
}
"""

# What the listing tells is enough for a job that is in it under its name; of the others the run folder is read, and
# what the scheduler remembers of them asked.
_STATUS = r"""declare -A seen; past=()
list=$(jf_list 2>&1); rc=$?
printf 'jf|list|%s\n%s\njf|end\n' $rc "$list"
while read -r i n; do [ -n "$i" ] && seen[$i]=$n; done < <(printf '%s\n' "$list" | jf_name)
jf_status() { # run folder, attempt, token, id
  local a=$2 marked= id= x= code= age= result= gone= n k
  [ -z "$4" ] || n=${seen[$4]-}
  [ -z "$n" ] || [ "${n##*-}" != "$3" ] || [ -e "$1/@EXIT@$a" ] || return
  for k in "$1/@SUBMITTED@$a" "$1/@SUBMITTED@$a".*; do
    [ -e "$k" ] || continue
    marked=1; { read -r x; read -r x id; } < "$k"; done
  x=; read -r x k 2>/dev/null < "$1/@STARTED@$a"; [ "$x" != @WITHDRAWN@ ] || x=
  [ -z "$x" ] || id=$x
  if read -r code 2>/dev/null < "$1/@EXIT@$a"; then
    age=$((now - $(date -r "$1/@EXIT@$a" +%s 2>/dev/null || echo 0))); fi
  [ ! -e "$1/@OUT@" ] || result=1
  id=${id:-$4}
  [ -z "$id" ] || n=${seen[$id]-}
  if [ -z "$n" ] || { [ -n "$marked" ] && [ "${n##*-}" != "$3" ]; }; then
    if [ ! -d "$1" ]; then gone=missing
    elif read -r gone 2>/dev/null < "$1/@GONE@$a"; then gone=$((now - gone))
    else echo $now 2>/dev/null > "$1/@GONE@$a"; gone=0; fi
    [ -z "$id" ] || [ "$code" = 0 ] || past+=("$id")
    [ "$code" = 0 ] || tail -c 4000 "$1/@ERR@" 2>/dev/null | grep -aiE @WORDS@ | tail -n 2 |
      while IFS= read -r x; do jf_say "$a" words "$x"; done
  else rm -f "$1/@GONE@$a"; fi
  jf_say "$a" facts "$id|$marked|${x:+started}|$code|$age|$result|$gone"
}
jf_past() { @TELL@
}
"""
_STATUS_END = r"""if [ ${#past[@]} -gt 0 ]; then echo 'jf|past|'; jf_past "${past[@]}" 2>&1; echo 'jf|end'; fi
"""

_CANCEL = r"""declare -A wanted; ids=()
jf_cancel() { # run folder, attempt, token, id
  local id= x= k
  wanted[$3]=1
  for k in "$1/@SUBMITTED@$2" "$1/@SUBMITTED@$2".*; do [ -e "$k" ] && { read -r x; read -r x id; } < "$k"; done
  if [ -n "$x" ]; then [ -z "$id" ] || direct+=("$id"); else [ -z "$4" ] || ids+=("$4"); fi
  [ ! -d "$1" ] || (set -C; echo @WITHDRAWN@ > "$1/@STARTED@$2") 2>/dev/null
}
direct=()
"""
_CANCEL_END = r"""if list=$(jf_list 2>&1); then
  while read -r i n; do
    [ -n "$n" ] && [ -n "${wanted[${n##*-}]-}" ] && ids+=("$i"); done < <(printf '%s\n' "$list" | jf_name)
else ids+=("${direct[@]}"); lost=$((${#wanted[@]} - ${#ids[@]})); echo "$list" >&2; fi
[ ${#ids[@]} = 0 ] || { set -- "${ids[@]}"; @CANCEL@
} >&2
[ "${lost:-0}" -le 0 ]
"""

_DONE = "echo 'jf|done|'\n"

# Each attempt runs once. A job that the scheduler starts anew (same id) may go on, a second copy may not.
_GUARD = r"""jf_d=@DIR@ jf_a=@ATTEMPT@
jf_begin() {
  local x
  if ! grep -qsx "jf_d=.* jf_a=$jf_a" "$jf_d/@SCRIPT@"; then
    echo "jobflow-remote: the job was begun anew, or taken back; this copy does nothing" >&2; exit @DUPLICATE@; fi
  if (set -C; echo "$1 $HOSTNAME" > "$jf_d/@STARTED@$jf_a") 2>/dev/null; then return; fi
  read -r x _ 2>/dev/null < "$jf_d/@STARTED@$jf_a"
  if [ -n "$x" ] && [ "$x" != "$1" ]; then
    echo "jobflow-remote: job $x of the scheduler has this attempt; this copy does nothing" >&2; exit @DUPLICATE@; fi
  rm -f "$jf_d/@TAKEN@$jf_a" "$jf_d/@EXIT@$jf_a"
}
jf_end() { echo "$1" > "$jf_d/@EXIT@$jf_a.part" && mv -f "$jf_d/@EXIT@$jf_a.part" "$jf_d/@EXIT@$jf_a"; }
jf_begin "@JOBID@"
trap 'jf_end $?' EXIT
trap 'exit 143' TERM"""


def _fill(template: str, **values: object) -> str:
    names = {
        "SUBMITTED": SUBMITTED_PREFIX, "STARTED": STARTED_PREFIX, "EXIT": EXIT_PREFIX, "GONE": GONE_PREFIX,
        "TAKEN": TAKEN_PREFIX, "SCRIPT": SUBMIT_FILENAME, "OUT": OUT_FILENAME, "ERR": QUEUE_ERR_FILENAME,
        "WITHDRAWN": WITHDRAWN, "DUPLICATE": EXIT_DUPLICATE,
    }  # fmt: skip
    for key, value in {**names, **values}.items():
        template = template.replace(f"@{key}@", str(value))
    return template


def _common(dialect: Dialect, options: HostOptions) -> str:
    return START_TIME + _fill(
        _COMMON,
        USER=shlex.quote(options.username or ""),
        ANSWER=options.answer_seconds,
        LIST=dialect.list_jobs,
        NAME=dialect.name_jobs,
    )


def _calls(function: str, jobs: Sequence[HostJob]) -> str:
    return "".join(
        f"{function} {shlex.quote(job.run_dir)} {shlex.quote(job.attempt)} {attempt_token(job.attempt)} "
        f"{shlex.quote(job.process_id or '')}\n"
        for job in jobs
    )


def render_submit(dialect: Dialect, options: HostOptions, jobs: Sequence[HostJob]) -> str:
    """Hand each job to the scheduler, unless its folder or the scheduler says that this was done before."""
    script = _fill(
        _SUBMIT,
        MAX="any" if options.max_submitted is None else shlex.quote(f"of {options.max_submitted}"),
        PAST=dialect.list_past_jobs,
        COUNT=dialect.count_jobs,
        BUDGET=options.budget_seconds,
        SETTLE=options.settle_seconds,
        SUBMIT=dialect.submit,
        FINDID=shlex.quote(dialect.find_id),
        UNCLEAR=_pattern(dialect.unclear),
        AWAY=_pattern(dialect.away),
        FULL=_pattern(dialect.full),
    )
    return _common(dialect, options) + script + _calls("jf_submit", jobs) + _DONE


def _pattern(expression: str) -> str:
    """A regular expression behind ``=~``: in a variable's place, since quotes would make it plain text."""
    return f"$(printf %s {shlex.quote(expression)})"


def render_status(dialect: Dialect, options: HostOptions, jobs: Sequence[HostJob]) -> str:
    """Where jobs are: the scheduler's listing, and the run folders and the past of those that are not in it."""
    script = _fill(_STATUS, TELL=dialect.tell_past, WORDS=shlex.quote(dialect.own_words))
    head = _common(dialect, options) + script
    return head + "[ $rc != 0 ] || {\n" + _calls("jf_status", jobs) + _STATUS_END + "}\n" + _DONE


def render_cancel(dialect: Dialect, options: HostOptions, jobs: Sequence[HostJob]) -> str:
    """End jobs, and keep those that have not begun from doing so."""
    head = _common(dialect, options) + _fill(_CANCEL)
    return head + _calls("jf_cancel", jobs) + _fill(_CANCEL_END, CANCEL=dialect.cancel)


def render_guard(dialect: Dialect, *, run_dir: str, attempt: str) -> str:
    """Lines of the submission script, before anything of the user's: begin once, write down how it ended."""
    return _fill(_GUARD, DIR=shlex.quote(run_dir), ATTEMPT=attempt, JOBID=dialect.job_id)
