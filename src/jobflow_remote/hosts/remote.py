"""A host that runs shells for us: all verbs by commands, files as tar archives. How to get there is not said here."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from jobflow_remote.errors import HostError
from jobflow_remote.hosts import commands, tarstream
from jobflow_remote.hosts.channel import Channel
from jobflow_remote.hosts.port import CommandResult, FileInfo, Host
from jobflow_remote.hosts.session import Answer, Consumer, Producer, Request, ShellSession
from jobflow_remote.hosts.sessions import Sessions
from jobflow_remote.layout import is_run_folder

_SMALL_BYTES = 1 << 20
"""Less than this is packed in memory, without threads."""
_THREADS = 4


@dataclass(frozen=True, slots=True)
class ShellOptions:
    """In which environment commands run (fields of the worker)."""

    shell_cmd: str | None = "bash"
    login_shell: bool = True
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)


class RemoteHost(Host):
    """A machine on which we can start commands."""

    def __init__(self, shell: ShellOptions) -> None:
        self._shell = shell
        self._sessions = Sessions(self._start_session)
        self._threads: ThreadPoolExecutor | None = None

    @abstractmethod
    async def open_channel(self, command: str) -> Channel:
        """Start a command (see :data:`~jobflow_remote.hosts.channel.OpenChannel`)."""

    async def variables(self) -> Mapping[str, str]:
        """Variables to set for all commands."""
        return self._shell.variables

    async def _start_session(self) -> ShellSession:
        return await ShellSession.start(
            self.open_channel,
            shell_cmd=self._shell.shell_cmd,
            login_shell=self._shell.login_shell,
            variables=await self.variables(),
        )

    async def _ask(self, request: Request) -> Answer:
        async with self._sessions.lend() as session:
            return await session.ask(request)

    async def _do(
        self, command: str, doing: str, *, produce: Producer | None = None, consume: Consumer | None = None
    ) -> Answer:
        """Run a command of ours; anything but success, and "there is no such thing", is an error."""
        answer = await self._ask(Request(command, produce, consume, is_transfer=True))
        if answer.exit_code not in (0, commands.EXIT_MISSING):
            raise HostError(f"cannot {doing} on {self.name}: {answer.said}")
        return answer

    async def run(
        self, command: str, *, stdin: bytes | None = None, timeout_seconds: float | None = None
    ) -> CommandResult:
        produce = None if stdin is None else _give(stdin)
        answer = await self._ask(Request(command, produce, timeout_seconds=timeout_seconds))
        return _result(answer)

    async def put_many(self, files: Mapping[str, bytes | Path], *, replace_in: Sequence[str] = ()) -> None:
        for path in (*files, *replace_in):
            commands.check_path(path)
        if not files and not replace_in:
            return
        suffix = f".part{secrets.token_hex(6)}"
        command = commands.render_put(list(files), suffix, replace_in)
        await self._do(command, "write files", produce=self._archive(files, suffix) if files else None)

    async def put_and_run(
        self, files: Mapping[str, bytes | Path], command: str, *, timeout_seconds: float | None = None
    ) -> CommandResult:
        if not files:
            return await self.run(command, timeout_seconds=timeout_seconds)
        suffix = f".part{secrets.token_hex(6)}"
        paths = [commands.check_path(path) for path in files]
        whole = commands.render_put_and_run(paths, suffix, command)
        answer = await self._ask(
            Request(whole, self._archive(files, suffix), timeout_seconds=timeout_seconds)
        )
        if answer.exit_code == commands.EXIT_NOT_WRITTEN:
            raise HostError(f"cannot write files on {self.name}: {answer.said}")
        return _result(answer)

    def _archive(self, files: Mapping[str, bytes | Path], suffix: str) -> Producer:
        small = all(isinstance(content, bytes) for content in files.values())
        if small and sum(map(len, files.values())) < _SMALL_BYTES:  # type: ignore[arg-type]
            return _give(tarstream.pack_small(files, suffix))

        async def produce(sink: Consumer) -> None:
            await tarstream.send_archive(files, suffix, sink=sink, executor=self._executor())

        return produce

    def _executor(self) -> ThreadPoolExecutor:
        """Threads of this host's own: transfers that hang must not take those of others."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"files of {self.name}")
        return self._threads

    async def get_many(self, files: Mapping[str, Path]) -> frozenset[str]:
        for path in files:
            commands.check_path(path)
        if not files:
            return frozenset()

        async def fill(sink: Consumer) -> None:
            await self._do(commands.render_get(list(files)), "read files", consume=sink)

        return await tarstream.receive_archive(files, fill=fill, executor=self._executor())

    async def read_tail(self, path: str, max_bytes: int) -> str | None:
        commands.check_path(path)
        answer = await self._do(commands.render_read_tail(path, max_bytes), f"read {path}")
        if answer.exit_code == commands.EXIT_MISSING:
            return None
        return answer.stdout.decode(errors="replace")

    async def list_folder(self, path: str, *, deep: bool = False) -> list[FileInfo] | None:
        commands.check_path(path)
        answer = await self._do(commands.render_list(path, deep=deep), f"list {path}")
        return None if answer.exit_code == commands.EXIT_MISSING else commands.parse_list(answer.stdout)

    async def remove_run_folders(self, paths: Sequence[str]) -> frozenset[str]:
        ours = [commands.check_path(path) for path in paths if is_run_folder(path)]
        if not ours:
            return frozenset()
        answer = await self._do(commands.render_remove_run_folders(ours), "remove folders")
        return commands.parse_removed(answer.stdout)

    async def remove_files(self, paths: Sequence[str]) -> frozenset[str]:
        if not paths:
            return frozenset()
        command = commands.render_remove_files([commands.check_path(path) for path in paths])
        answer = await self._do(command, "remove files")
        return commands.parse_removed(answer.stdout)

    async def close(self) -> None:
        self._sessions.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _result(answer: Answer) -> CommandResult:
    return CommandResult(
        answer.stdout.decode(errors="replace"), answer.stderr.decode(errors="replace"), answer.exit_code
    )


def _give(data: bytes) -> Producer:
    async def produce(sink: Consumer) -> None:
        await sink(data)

    return produce
