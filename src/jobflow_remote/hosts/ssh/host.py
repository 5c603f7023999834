"""A host reached by asyncssh."""

from __future__ import annotations

from collections.abc import Mapping

from jobflow_remote.hosts.channel import Channel
from jobflow_remote.hosts.remote import RemoteHost, ShellOptions
from jobflow_remote.hosts.ssh.connection import SshConnection


class SshHost(RemoteHost):
    """Commands and files over one connection, which may be shared with others."""

    def __init__(self, connection: SshConnection, shell: ShellOptions) -> None:
        super().__init__(shell)
        self._connection = connection

    @property
    def name(self) -> str:
        return self._connection.login.name

    async def open_channel(self, command: str) -> Channel:
        return await self._connection.open_channel(command)

    async def variables(self) -> Mapping[str, str]:
        await self._connection.get()
        return {**self._connection.variables, **self._shell.variables}
