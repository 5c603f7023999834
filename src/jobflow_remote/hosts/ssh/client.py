"""Our side of a login: the host's key, the questions, and what was tried when it is refused."""

from __future__ import annotations

from collections.abc import Sequence

import asyncssh

from jobflow_remote.errors import HostUnreachableError, LoginNeededError
from jobflow_remote.hosts.login import Login
from jobflow_remote.hosts.questions import Answerer, Prompt, Questions
from jobflow_remote.hosts.ssh.hostkeys import HostKeys

_ROUNDS = 3
"""How often a person may try."""


class LoginClient(asyncssh.SSHClient):
    """Answers what asyncssh asks during one login."""

    def __init__(self, login: Login, host_keys: HostKeys, answerer: Answerer | None) -> None:
        self._login, self._host_keys, self._answerer = login, host_keys, answerer
        self._methods: list[str] = []
        """Which the host offered, as far as we came."""
        self._password = login.password
        self._rounds = 0
        self.unanswered = False

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """The key is not on record."""
        return self._host_keys.accept(host, port, key)

    def public_key_auth_requested(self) -> None:
        """All keys were tried."""
        self._offered("publickey")

    def password_auth_requested(self) -> None:
        """The configured password, if there is one, was tried."""
        self._offered("password")

    def kbdint_auth_requested(self) -> str | None:
        """Whether we answer questions (once more)."""
        self._offered("keyboard-interactive")
        self._rounds += 1
        if self._login.interactive:
            return "" if self._rounds <= _ROUNDS and not self.unanswered else None
        return "" if self._password is not None and self._rounds == 1 else None

    async def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        """Answer what the configuration knows, and have a person answer the rest."""
        if not prompts:
            return []
        if self._password is not None and "password" in prompts[0][0].lower() and len(prompts) == 1:
            password, self._password = self._password, None  # asked again, it was wrong
            return [password]
        if not self._login.interactive or self._answerer is None:
            return None
        asked = tuple(Prompt(text, echo) for text, echo in prompts)
        answers = await self._answerer(Questions(self._login.name, name, instructions, asked))
        self.unanswered = answers is None
        return answers

    def _offered(self, method: str) -> None:
        if method not in self._methods:
            self._methods.append(method)

    def explain_refusal(self) -> HostUnreachableError:
        """Why the login failed, and what would help."""
        name = self._login.name
        if self.unanswered:
            return LoginNeededError(
                f"{name} needs login: it asks questions and nobody answers",
                hint="run `jf worker login WORKER` while the runner is running",
            )
        offered = ", ".join(self._methods) or "nothing that we have"
        keys = ", ".join(self._login.key_files) or "those of the agent and of ~/.ssh"
        tried = {"publickey": f"keys: {keys}"}
        tried["password"] = (
            "password: the configured one" if self._login.password else "password: none configured"
        )
        tried["keyboard-interactive"] = (
            "questions: answered" if self._login.interactive else "questions: `interactive_login` is not set"
        )
        words = "; ".join(tried[method] for method in self._methods)
        return HostUnreachableError(
            f"{name} refused the login. It offers {offered}" + (f"; tried: {words}" if words else ""),
            hint="does `ssh` with the same user and key get in? See `key_filename`, `password`, `user` of the worker",
        )
