"""One connection per host for everybody in this process.

Connections live in an event loop of their own, in a thread of their own: lanes of the runner, calls of ``jf`` and
requests of the web pages have loops that come and go, and share them all the same. A host that nobody uses any more is
let go a little later.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from jobflow_remote.config.plugins import TRANSPORTS_GROUP, load_plugin
from jobflow_remote.config.workers import TRANSPORTS, BaseRemoteWorker, SeparatedTransferWorker, WorkerBase
from jobflow_remote.errors import ConfigError, HostUnreachableError
from jobflow_remote.hosts.login import Login, login_of, shell_of, transfer_login_of
from jobflow_remote.hosts.port import CommandResult, FileInfo, Host
from jobflow_remote.hosts.questions import Answerer, Questions
from jobflow_remote.hosts.remote import ShellOptions

R = TypeVar("R")

_LOGIN_SECONDS = 300.0
LINGER_SECONDS = 20.0
"""How long a connection is kept when nobody uses the host any more."""


@dataclass(frozen=True)
class HostKey:
    """What distinguishes hosts."""

    login: Login
    shell: ShellOptions
    transfer: Login | None = None
    """Files go there."""

    @property
    def logins(self) -> list[Login]:
        """All logins that the host needs, with their gateways."""
        found: list[Login] = []
        for login in (self.login, self.transfer):
            way: Login | str | None = login
            while isinstance(way, Login):
                found.append(way)
                way = way.gateway
        return found


@dataclass
class _Entry:
    host: Host
    users: int = 0
    leaving: asyncio.TimerHandle | None = None


class HostPool:
    """Hosts by what distinguishes them."""

    def __init__(self) -> None:
        self.answerer: Answerer | None = None
        """Who answers the questions of logins."""
        self._entries: dict[HostKey, _Entry] = {}
        self._connections: dict[Login, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    def host(self, worker: WorkerBase) -> Host:
        """The host of a worker; nothing is connected yet.

        Raises
        ------
        ConfigError
            If the configuration of the connection is wrong.
        """
        if not isinstance(worker, BaseRemoteWorker):
            raise ConfigError(f"a worker of type {worker.type!r} has no host to connect to")
        transfer = transfer_login_of(worker) if isinstance(worker, SeparatedTransferWorker) else None
        key = HostKey(login_of(worker), shell_of(worker), transfer)
        for login in key.logins:
            _check(login)
        return SharedHost(self, key)

    def _make_host(self, key: HostKey) -> Host:
        host = self._make(key.login, key.shell)
        if key.transfer is None:
            return host
        from jobflow_remote.hosts.split import SplitHost

        return SplitHost(host, self._make(key.transfer, key.shell, for_files=True))

    def _make(self, login: Login, shell: ShellOptions, *, for_files: bool = False) -> Host:
        if login.transport == "openssh":
            from jobflow_remote.hosts.openssh import OpensshHost

            return OpensshHost(login, shell)
        if login.transport not in TRANSPORTS:
            made: Host = load_plugin(TRANSPORTS_GROUP, login.transport)(login, shell)
            return made
        if for_files:
            from jobflow_remote.hosts.ssh.transfer import SshTransferHost

            return SshTransferHost(self._connection(login), shell)
        from jobflow_remote.hosts.ssh.host import SshHost

        return SshHost(self._connection(login), shell)

    def _connection(self, login: Login) -> Any:
        from jobflow_remote.hosts.ssh.connection import SshConnection

        if login not in self._connections:
            self._connections[login] = SshConnection(login, self._connection, lambda: self.answerer)
        return self._connections[login]

    # -- the thread ----------------------------------------------------------------------------------------------

    async def call(self, work: Coroutine[Any, Any, R]) -> R:
        """Do something in the loop of the connections, from any other one."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop()))

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the connections, running."""
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="hosts", daemon=True)
                self._thread.start()
                atexit.register(self.shut_down)
            return self._loop

    def shut_down(self) -> None:
        """Hang up everywhere and end the thread; the pool can be used again."""
        with self._starting:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        atexit.unregister(self.shut_down)
        if loop is None or thread is None:
            return
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._close_all(), loop).result(3)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(3)
        if not thread.is_alive():
            loop.close()

    async def _close_all(self) -> None:
        for entry in self._entries.values():
            await entry.host.close()
        await asyncio.gather(*(each.close() for each in self._connections.values()), return_exceptions=True)
        self._entries.clear()
        self._connections.clear()
        ours = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not ours:
                task.cancel()
        await asyncio.sleep(0)

    # -- in the loop ---------------------------------------------------------------------------------------------

    def enter(self, key: HostKey) -> Host:
        """Somebody uses a host."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(self._make_host(key))
        if entry.leaving is not None:
            entry.leaving.cancel()
            entry.leaving = None
        entry.users += 1
        return entry.host

    def leave(self, key: HostKey) -> None:
        """Somebody does not use it any more."""
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.users -= 1
        if entry.users <= 0 and entry.leaving is None:
            entry.leaving = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._let_go, key)

    def _let_go(self, key: HostKey) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            task = asyncio.ensure_future(self._close_unused(key, entry.host))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _close_unused(self, key: HostKey, host: Host) -> None:
        await host.close()
        used = {login for other in self._entries for login in other.logins}
        for login in key.logins:
            if login not in used and login in self._connections:
                await self._connections.pop(login).close()
        if not self._entries:  # gateways that the SSH configuration named
            connections, self._connections = self._connections, {}
            await asyncio.gather(*(each.close() for each in connections.values()), return_exceptions=True)


class SharedHost(Host):
    """A host of the pool, for one user of it."""

    def __init__(self, pool: HostPool, key: HostKey) -> None:
        self._pool, self._key = pool, key
        self._inner: Host | None = None

    @property
    def name(self) -> str:
        return self._key.login.name

    @property
    def place(self) -> Hashable:
        return self._key

    async def _call(self, verb: Callable[[Host], Coroutine[Any, Any, R]]) -> R:
        async def do() -> R:
            if self._inner is None:
                self._inner = self._pool.enter(self._key)
            return await verb(self._inner)

        try:
            return await self._pool.call(do())
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise HostUnreachableError(f"{self.name}: the connection was closed") from None

    async def run(
        self, command: str, *, stdin: bytes | None = None, timeout_seconds: float | None = None
    ) -> CommandResult:
        return await self._call(lambda host: host.run(command, stdin=stdin, timeout_seconds=timeout_seconds))

    async def put_many(self, files: Mapping[str, bytes | Path], *, replace_in: Sequence[str] = ()) -> None:
        await self._call(lambda host: host.put_many(files, replace_in=replace_in))

    async def put_and_run(
        self, files: Mapping[str, bytes | Path], command: str, *, timeout_seconds: float | None = None
    ) -> CommandResult:
        return await self._call(
            lambda host: host.put_and_run(files, command, timeout_seconds=timeout_seconds)
        )

    async def get_many(self, files: Mapping[str, Path]) -> frozenset[str]:
        return await self._call(lambda host: host.get_many(files))

    async def read_tail(self, path: str, max_bytes: int) -> str | None:
        return await self._call(lambda host: host.read_tail(path, max_bytes))

    async def list_folder(self, path: str, *, deep: bool = False) -> list[FileInfo] | None:
        return await self._call(lambda host: host.list_folder(path, deep=deep))

    async def remove_run_folders(self, paths: Sequence[str]) -> frozenset[str]:
        return await self._call(lambda host: host.remove_run_folders(paths))

    async def remove_files(self, paths: Sequence[str]) -> frozenset[str]:
        return await self._call(lambda host: host.remove_files(paths))

    async def log_in(self, answerer: Answerer) -> None:
        """Connect, and have somebody answer what the host asks.

        Raises
        ------
        HostUnreachableError
            If it lets us not in.
        """
        here = asyncio.get_running_loop()

        async def answer(questions: Questions) -> list[str] | None:
            asking = asyncio.run_coroutine_threadsafe(_ask(answerer, questions), here)
            return await asyncio.wrap_future(asking)

        async def connect(host: Host) -> None:
            self._pool.answerer, before = answer, self._pool.answerer
            try:
                await host.run(":", timeout_seconds=_LOGIN_SECONDS)
            finally:
                self._pool.answerer = before

        await self._call(connect)

    async def close(self) -> None:
        async def leave() -> None:
            if self._inner is not None:
                self._inner = None
                self._pool.leave(self._key)

        if self._inner is not None:
            await self._pool.call(leave())


async def _ask(answerer: Answerer, questions: Questions) -> list[str] | None:
    return await answerer(questions)


def _check(login: Login) -> None:
    if login.transport == "asyncssh" and login.options:
        from jobflow_remote.hosts.ssh.options import check_options

        check_options(login)


POOL = HostPool()
"""The pool of this process."""
