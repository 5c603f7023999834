"""Following what a job writes, until its process has ended."""

from __future__ import annotations

import asyncio
import base64
import binascii
import codecs
import posixpath
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from jobflow_remote.control.files import run_folder_of
from jobflow_remote.control.inspect import job_info
from jobflow_remote.errors import HostError, HostUnreachableError
from jobflow_remote.hosts.port import Host
from jobflow_remote.layout import QUEUE_ERR_FILENAME, QUEUE_OUT_FILENAME
from jobflow_remote.model.lifecycle import UNFINISHED
from jobflow_remote.model.states import JobState
from jobflow_remote.services.opened import Services

RUNNING_ON = UNFINISHED - {JobState.TERMINATED, JobState.DOWNLOADED}
"""States in which the process of a job has not ended, and may write by itself."""

_PIECE_BYTES = 1 << 20
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0

# $1 file, $2 how much of it is known: its size, where the piece begins, the piece
_SCRIPT = f"""jf_tail() {{
  local size from=$2
  if [ ! -f "$1" ]; then echo '- 0'; return; fi
  size=$(($(wc -c < "$1"))); [ $size -ge $from ] || from=0
  printf '%s %s ' $size $from
  tail -c +$((from + 1)) -- "$1" | head -c {_PIECE_BYTES} | base64 | tr -d '\\n'; echo
}}
"""

Told = Callable[[str, str], None]
"""Takes the name of a file and what was added to it."""


@dataclass
class FileTail:
    """One file that grows; it may also begin anew, when the job runs again."""

    path: str
    known_bytes: int = 0
    has_more: bool = False
    """There was more than one piece to be told at the last look."""
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def render(self) -> str:
        """Line of shell that tells what is new."""
        return f"jf_tail {shlex.quote(self.path)} {self.known_bytes}"

    def parse(self, line: str) -> str:
        """The new text."""
        size, begin, *rest = line.split()
        piece = base64.b64decode(rest[0]) if rest else b""
        if int(begin) != self.known_bytes:
            self._decoder.reset()
        self.known_bytes = int(begin) + len(piece)
        self.has_more = size.isdigit() and len(piece) > 0 and int(size) > self.known_bytes
        return self._decoder.decode(piece)


class QueueFiles:
    """``queue.out`` and ``queue.err`` of a job: what was added to them since the last look, by one command."""

    def __init__(self, host: Host, run_dir: str) -> None:
        self._host, self.run_dir = host, run_dir
        self._tails = [
            FileTail(posixpath.join(run_dir, name)) for name in (QUEUE_OUT_FILENAME, QUEUE_ERR_FILENAME)
        ]

    async def tell_new(self, tell: Told) -> None:
        """Tell all that is new."""
        while True:
            command = _SCRIPT + "\n".join(tail.render() for tail in self._tails)
            answer = await self._host.run(command, timeout_seconds=60)
            lines = answer.stdout.splitlines()[-len(self._tails) :]
            try:
                texts = [tail.parse(line) for tail, line in zip(self._tails, lines, strict=True)]
            except (ValueError, binascii.Error) as error:
                said = answer.stderr.strip()[-300:] or answer.stdout[-300:]
                raise HostError(f"cannot read {self.run_dir} on {self._host.name}: {said}") from error
            for tail, text in zip(self._tails, texts, strict=True):
                if text:
                    tell(posixpath.basename(tail.path), text)
            if not any(tail.has_more for tail in self._tails):
                return


def follow_queue_files(
    services: Services,
    identifier: str,
    index: int | None = None,
    *,
    tell: Told,
    complain: Callable[[str], None] = lambda message: None,
    pause_seconds: float = _PAUSE_SECONDS,
) -> JobState:
    """Tell what a job writes until its process has ended; returns the state that the job is in then.

    Parameters
    ----------
    complain
        Told once when the host cannot be reached; following goes on when it is back.
    """

    async def follow() -> JobState:
        try:
            return await _follow(services, (identifier, index), tell, complain, pause_seconds)
        finally:
            await services.close_hosts()

    return asyncio.run(follow())


async def _follow(
    services: Services,
    job: tuple[str, int | None],
    tell: Told,
    complain: Callable[[str], None],
    pause_seconds: float,
) -> JobState:
    files: QueueFiles | None = None
    pause = pause_seconds
    while True:
        document = job_info(services.queue, *job)
        state = JobState(
            document["state"]
        )  # asked before the files: what it wrote at the very end is told, too
        folder = run_folder_of(document)
        try:
            if folder is not None:
                if files is None or files.run_dir != folder.path:
                    files = QueueFiles(services.host(folder.worker), folder.path)
                await files.tell_new(tell)
            if state not in RUNNING_ON:
                return state
            pause = pause_seconds
        except HostUnreachableError as error:
            if pause == pause_seconds:
                complain(error.message)
            pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)
        await asyncio.sleep(pause)
