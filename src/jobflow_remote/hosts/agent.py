"""A shell that stays on the host and runs one request after the other.

A new SSH channel costs about three round trips and a login shell a good part of a second of somebody's login node. So
one login shell per session is started, and it reads requests from its input:

* a line ``bytes seconds input``: length of the command, its time limit (0: none), whether input follows;
* the command;
* input as pieces: a line with their length, that many bytes; a line ``0`` ends it.

The answer is what the command writes, between two lines that begin with a word nobody else knows, on both streams:
whatever a profile prints is outside. When a command exceeded its time its process group is killed, and the shell ends
too (so it does when somebody else killed the command), since nobody knows how much of the input had been read.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

_AGENT = r"""
unset JFREMOTE_AGENT; set -m; exec 4>&2 2>/dev/null
_jf_feed() { local n; while read -r n <&3 && [ "$n" -gt 0 ]; do head -c "$n" <&3; done; }
while read -r _jf_size _jf_seconds _jf_input <&3; do
  _jf_command=$(head -c "$_jf_size" <&3)
  echo "$_jf_mark start"; echo "$_jf_mark start" >&4
  if [ "$_jf_input" = 1 ]; then
    ( (eval "$_jf_command") 2>&4 4>&-; _jf_code=$?; cat >/dev/null; exit $_jf_code ) < <(_jf_feed 4>&-) 3<&- &
  else
    ( eval "$_jf_command" ) 2>&4 </dev/null 3<&- 4>&- &
  fi
  _jf_job=$! _jf_dog=
  if [ "$_jf_seconds" != 0 ]; then
    ( sleep "$_jf_seconds"; kill -KILL -- -$_jf_job ) >/dev/null </dev/null 3<&- 4>&- &
    _jf_dog=$!
  fi
  wait $_jf_job; _jf_code=$?
  [ -z "$_jf_dog" ] || kill -KILL -- -$_jf_dog
  echo "$_jf_mark end $_jf_code" >&4; echo "$_jf_mark end $_jf_code"
  [ $_jf_code != 137 ] || exit 1
done
"""


def render_agent(mark: str, variables: Mapping[str, str] | None = None) -> bytes:
    """The program of the shell that stays; ``variables`` are set for all commands."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in (variables or {}).items()]
    return "\n".join([*lines, f"_jf_mark={mark}", _AGENT]).encode()


def render_start(agent_size: int, *, shell_cmd: str | None = "bash", login_shell: bool = True) -> str:
    """The command that starts it; the agent's program follows on the input.

    The user's login shell on the host, whichever it is (``csh``, ``fish``), reads this line, so it holds nothing but
    words and single quotes. ``shell_cmd`` (of the worker) gives the environment, and cannot read what is for us.
    """
    last = 'exec bash -c \\"\\$JFREMOTE_AGENT\\"'
    shell = "" if shell_cmd is None else f'exec {shell_cmd}{" -l" if login_shell else ""} -c "{last}"'
    inner = shell or last.replace("\\", "")
    program = f'JFREMOTE_AGENT="$(head -c {agent_size})"; export JFREMOTE_AGENT; exec 3<&0; exec </dev/null; {inner}'
    return f"exec bash -c '{program}'"


def render_request(command: bytes, *, seconds: float | None, has_input: bool) -> bytes:
    """The head of a request."""
    limit = f"{seconds:g}" if seconds else "0"
    return b"%d %s %d\n%s" % (len(command), limit.encode(), has_input, command)


def render_piece(data: bytes) -> bytes:
    """A piece of input; no bytes: its end."""
    return b"%d\n%s" % (len(data), data)
