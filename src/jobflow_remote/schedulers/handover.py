"""The folder in which runner and pilots meet, as the runner uses it: scripts for the host, and their answers.

One script serves any number of jobs. What it says begins with ``jf|``; lines of files are between.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobflow_remote.errors import SchedulerBusyError
from jobflow_remote.hosts.port import CommandResult
from jobflow_remote.layout import OUT_FILENAME, TAKEN_PREFIX, WITHDRAWN
from jobflow_remote.schedulers.port import HostJob

_MOST_REPORTS = 400
"""Files that are read at a time."""
RETURNED = "returned"
"""Behind the word for a withdrawn attempt: it had begun, and its pilot is dead."""

_LOOK = r"""h=@DIR@; umask 077
mkdir -p "$h"/{new,taken,dead,reports,pilots,stop} 2>/dev/null
cd "$h" 2>/dev/null || { echo "jf|error|$h does not exist, and cannot be made"; exit 0; }
(set -C; printf '%s\n' @OWNER@ > owner) 2>/dev/null
read -r x 2>/dev/null < owner; echo "jf|owner|$x"
[ "$x" = @OWNER@ ] || exit 0
for d in new taken dead reports pilots stop; do
  [ -w $d ] && [ -x $d ] || { echo "jf|error|$h/$d cannot be written"; exit 0; }; done
jf_judge() { # attempt, folder
  local w= v= s=interrupted m="$2/@TAKEN@$1"
  if [ ! -d "$2" ]; then s=missing
  elif [ -e "$2/@OUT@" ]; then s=ended
  elif (set -C; echo "@WITHDRAWN@ withdrawn" > "$m") 2>/dev/null; then s=unbegun
  else
    read -r w v _ 2>/dev/null < "$m"
    if [ "$w" = @WITHDRAWN@ ]; then [ "$v" = @RETURNED@ ] || s=unbegun
    else echo "@WITHDRAWN@ @RETURNED@" > "$m.part" && mv -f "$m.part" "$m"; fi
  fi
  echo "jf|$s|$1"
}
jf_read() { awk -v k="$1" 'FNR==1{print "jf|" k "|" FILENAME} {print}' "${@:2}"; }
shopt -s nullglob
"""
_LOOK_END = r"""for d in dead/*/; do
  d=${d%/}; echo "jf|dead|$d"
  for f in "$d"/*.jobs; do while IFS=$'\t' read -r a r j; do jf_judge "$a" "$r"; echo "$j"; done < "$f"; done
done
files=(reports/*); [ ${#files[@]} = 0 ] || jf_read report "${files[@]:0:@MOST@}"
files=(pilots/*); [ ${#files[@]} = 0 ] || jf_read pilot "${files[@]}"
for d in taken/*/; do echo "jf|holds|$(basename "$d")"; done
files=(new/*.jobs); echo "jf|new|${#files[@]}"
echo "jf|done|"
"""
_WITHDRAW = r"""h=@DIR@; umask 077; mkdir -p "$h/stop"
jf_stop() { # attempt, folder
  [ ! -d "$2" ] || (set -C; echo "@WITHDRAWN@ withdrawn" > "$2/@TAKEN@$1") 2>/dev/null && return
  read -r w _ 2>/dev/null < "$2/@TAKEN@$1"; [ "$w" = @WITHDRAWN@ ] && return
  : > "$h/stop/$1" || failed=1
}
"""
_TAKE_BACK = r"""jf_take() { # attempt, folder
  if (set -C; echo "@WITHDRAWN@ withdrawn" > "$2/@TAKEN@$1") 2>/dev/null; then echo "jf|back|$1"; return; fi
  read -r w _ 2>/dev/null < "$2/@TAKEN@$1"
  if [ "$w" = @WITHDRAWN@ ]; then echo "jf|back|$1"; else echo "jf|begun|$1"; fi
}
"""


def _fill(template: str, **values: object) -> str:
    names = {
        "TAKEN": TAKEN_PREFIX, "OUT": OUT_FILENAME, "WITHDRAWN": WITHDRAWN, "RETURNED": RETURNED,
        "MOST": _MOST_REPORTS,
    }  # fmt: skip
    for key, value in {**names, **values}.items():
        template = template.replace(f"@{key}@", str(value))
    return template


@dataclass(frozen=True, slots=True)
class Errands:
    """What to do before looking."""

    reports: Sequence[str] = ()
    """Files that have been read and written down: they are removed."""
    buried: Sequence[str] = ()
    """Folders of dead pilots whose jobs have been seen to."""
    dead: Sequence[str] = ()
    """Pilots that have ended for sure: what they still hold is taken from them."""
    gone: Sequence[str] = ()
    """Pilots whose signs of life are of no use any more."""


@dataclass
class Look:
    """What there was to see."""

    owner: str | None = None
    error: str | None = None
    reports: list[str] = field(default_factory=list)
    """Files of reports."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """What pilots told of jobs."""
    lost: list[dict[str, Any]] = field(default_factory=list)
    """Jobs of dead pilots; ``kind``: ``unbegun``, ``interrupted``, ``ended`` or ``missing`` (its folder is)."""
    dead: list[str] = field(default_factory=list)
    """Folders of dead pilots."""
    pilots: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Signs of life."""
    holders: set[str] = field(default_factory=set)
    """Pilots that have a folder for what they take."""
    new_bundles: int = 0
    whole: bool = False


def render_look(handle_dir: str, owner: str, errands: Errands) -> str:
    """Run errands, then tell all that there is to tell.

    A dead pilot's folder is renamed first, so that it can take nothing any more; then each of its jobs is either
    withdrawn before it began, has left its result, or was interrupted.
    """
    script = _fill(_LOOK, DIR=shlex.quote(handle_dir), OWNER=shlex.quote(owner))
    script += _remove("rm -f --", errands.reports) + _remove("rm -rf --", errands.buried)
    script += _remove("rm -f --", [f"pilots/{name}" for name in errands.gone])
    for pilot in errands.dead:
        name = shlex.quote(pilot)
        script += f"mv -T taken/{name} dead/{name}.{owner_mark(owner)} 2>/dev/null\n"
    return script + "find stop -type f -mmin +60 -delete\n" + _fill(_LOOK_END)


def owner_mark(owner: str) -> str:
    """A word for file names."""
    return "".join(letter if letter.isalnum() else "_" for letter in owner)[-20:]


def _remove(command: str, names: Sequence[str]) -> str:
    return f"{command} {' '.join(map(shlex.quote, names))}\n" if names else ""


def render_withdraw(handle_dir: str, jobs: Iterable[HostJob]) -> str:
    """End jobs, and keep those that have not begun from doing so."""
    calls = "".join(f"jf_stop {shlex.quote(job.attempt)} {shlex.quote(job.run_dir)}\n" for job in jobs)
    return _fill(_WITHDRAW, DIR=shlex.quote(handle_dir)) + calls + '[ -z "$failed" ]\n'


def render_take_back(jobs: Iterable[HostJob]) -> str:
    """Keep jobs from beginning, and tell which of them have begun already."""
    calls = "".join(f"jf_take {shlex.quote(job.attempt)} {shlex.quote(job.run_dir)}\n" for job in jobs)
    return _fill(_TAKE_BACK) + calls


def parse_take_back(answer: CommandResult) -> frozenset[str]:
    """Attempts that will not begin any more."""
    lines = [line.split("|") for line in answer.stdout.splitlines() if line.startswith("jf|back|")]
    return frozenset(words[2] for words in lines)


def parse_look(answer: CommandResult) -> Look:
    """What :func:`render_look` had to tell.

    Raises
    ------
    SchedulerBusyError
        If it was cut short.
    """
    look, section, name = Look(), "", ""
    for line in answer.stdout.splitlines():
        if line.startswith("jf|"):
            _, section, name = line.split("|", 2)
            _take_head(look, section, name)
        elif line:
            _take_line(look, section, name, line)
    if not look.whole and look.error is None and look.owner is None:
        raise SchedulerBusyError(f"no answer from the folder of the pilots: {answer.stderr.strip()[-300:]}")
    return look


def _take_head(look: Look, section: str, name: str) -> None:
    match section:
        case "owner":
            look.owner = name
        case "error":
            look.error = name
        case "report":
            look.reports.append(name)
        case "dead":
            look.dead.append(name)
        case "holds":
            look.holders.add(name)
        case "new":
            look.new_bundles = int(name)
        case "done":
            look.whole = True


def _take_line(look: Look, section: str, name: str, line: str) -> None:
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError:  # not ours, or a file that a full disk cut short
        return
    if section == "report":
        look.events.append(told)
    elif section == "pilot":
        look.pilots[str(told.get("pilot") or name.rpartition("/")[2])] = told
    elif section in ("unbegun", "interrupted", "ended", "missing"):
        look.lost.append({"kind": section, "attempt": name, "uuid": told["uuid"], "index": told["index"]})
