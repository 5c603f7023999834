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

from jobflow_remote.control.files import RunFolder, run_folder_of
from jobflow_remote.control.inspect import job_info
from jobflow_remote.control.workers import is_runner_live
from jobflow_remote.errors import HostError, HostUnreachableError, NotFoundError
from jobflow_remote.hosts.port import Host
from jobflow_remote.layout import EXIT_PREFIX, QUEUE_ERR_FILENAME, QUEUE_OUT_FILENAME
from jobflow_remote.model.lifecycle import IN_SCHEDULER, UNFINISHED
from jobflow_remote.model.records import Document
from jobflow_remote.model.states import JobState
from jobflow_remote.services.opened import Services

RUNNING_ON = UNFINISHED - {JobState.TERMINATED, JobState.DOWNLOADED}
"""States in which the process of a job has not ended, and may write by itself."""
_NOT_SENT = frozenset({JobState.WAITING, JobState.READY, JobState.CHECKED_OUT})
"""States in which what is in the run folder is left from an earlier attempt."""

_PIECE_BYTES = 1 << 20
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0

# jf_at: $1 folder, $2 the exit file of the attempt; jf_tail: $1 file, $2 how much of it is known. The latter says the
# size of the file, where the piece begins, and the piece.
_SCRIPT = f"""jf_at() {{
  if [ ! -d "$1" ]; then echo gone; elif [ -n "$2" ] && [ -e "$2" ]; then echo ended; else echo there; fi
}}
jf_tail() {{
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
    """``queue.out`` and ``queue.err`` of a job: what was added to them since the last look, by one command.

    Parameters
    ----------
    attempt
        Which attempt of the job is followed: the exit code that it leaves in its folder tells that it has ended.
    """

    def __init__(self, host: Host, run_dir: str, attempt: str | None = None) -> None:
        self._host, self.run_dir, self.attempt = host, run_dir, attempt
        self.is_gone = False
        """There was no such folder at the last look."""
        self.has_ended = False
        """The process had ended before the last look, so that all it wrote has been told."""
        self._tails = [
            FileTail(posixpath.join(run_dir, name)) for name in (QUEUE_OUT_FILENAME, QUEUE_ERR_FILENAME)
        ]

    def _render(self) -> str:
        exit_file = posixpath.join(self.run_dir, EXIT_PREFIX + self.attempt) if self.attempt else ""
        lines = [f"jf_at {shlex.quote(self.run_dir)} {shlex.quote(exit_file)}"]
        return _SCRIPT + "\n".join(lines + [tail.render() for tail in self._tails])

    async def tell_new(self, tell: Told) -> None:
        """Tell all that is new."""
        while True:
            answer = await self._host.run(self._render(), timeout_seconds=60)
            at, *lines = answer.stdout.splitlines()[-1 - len(self._tails) :] or [""]
            try:
                texts = [tail.parse(line) for tail, line in zip(self._tails, lines, strict=True)]
            except (ValueError, binascii.Error) as error:
                said = answer.stderr.strip()[-300:] or answer.stdout[-300:]
                raise HostError(f"cannot read {self.run_dir} on {self._host.name}: {said}") from error
            self.is_gone, self.has_ended = at == "gone", at == "ended"
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

    It is one of :data:`RUNNING_ON` if the process has ended and the runner has not noticed yet.

    Parameters
    ----------
    complain
        Told once when the host cannot be reached (following goes on when it is back), and when no runner is active.

    Raises
    ------
    NotFoundError
        If the run folder of a job that has been submitted is gone.
    """
    follower = _Follower(services, (identifier, index), tell, complain, pause_seconds)

    async def follow() -> JobState:
        try:
            return await follower.run()
        finally:
            await services.close_hosts()

    return asyncio.run(follow())


@dataclass
class _Follower:
    services: Services
    job: tuple[str, int | None]
    tell: Told
    complain: Callable[[str], None]
    pause_seconds: float
    _files: QueueFiles | None = None
    _was_gone: bool = False
    _said: set[str] = field(default_factory=set)

    async def run(self) -> JobState:
        pause = self.pause_seconds
        while True:
            document = job_info(self.services.queue, *self.job)
            state = JobState(document["state"])  # asked before the files: what was written last is told, too
            try:
                ended = await self._look(document, state)
                self._said.discard("host")
                pause = self.pause_seconds
            except HostUnreachableError as error:
                self._say("host", error.message)
                ended = False
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)
            if ended or state not in RUNNING_ON:
                return state
            if not is_runner_live(self.services.queue):
                self._say("runner", "no runner is active that would notice how the job goes on")
            await asyncio.sleep(pause)

    async def _look(self, document: Document, state: JobState) -> bool:
        """Tell what is new; returns whether the process has certainly ended."""
        folder = run_folder_of(document)
        if folder is None or state in _NOT_SENT:
            return False
        files, attempt = self._files, document.get("attempt")
        if files is None or (files.run_dir, files.attempt) != (folder.path, attempt):
            self._files = files = QueueFiles(self.services.host(folder.worker), folder.path, attempt)
        await files.tell_new(self.tell)
        self._check_there(folder, files, state)
        return files.has_ended and state in IN_SCHEDULER

    def _check_there(self, folder: RunFolder, files: QueueFiles, state: JobState) -> None:
        """Somebody may remove a folder between the two questions, but not a second time."""
        is_gone = files.is_gone and state in IN_SCHEDULER
        if is_gone and self._was_gone:
            raise NotFoundError(
                f"the run folder of {folder.label} is gone: {folder.path}",
                hint="it was deleted, or the worker's file system is not mounted there",
            )
        self._was_gone = is_gone

    def _say(self, about: str, message: str) -> None:
        if about not in self._said:
            self._said.add(about)
            self.complain(message)
