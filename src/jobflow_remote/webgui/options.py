"""How the web interface is served."""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import token_urlsafe

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class GuiOptions:
    """Everything that ``jf gui`` can be told."""

    host: str = "127.0.0.1"
    port: int = 5001
    read_only: bool = False
    """Nothing can be changed, whoever asks."""
    token: str = field(default_factory=lambda: token_urlsafe(32), repr=False)
    """Whoever shows it is let in; it is part of the URL that is printed."""
    password: str | None = field(default=None, repr=False)
    """Lets in as well, for those who have only the address."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which the server may be asked, beside those of this machine itself."""
    project: str | None = None
    """The project that the first page shows."""

    @property
    def host_names(self) -> frozenset[str]:
        """Names that a request may call this server by: a page of another site cannot pretend to be here."""
        return frozenset(name.lower() for name in (*LOOPBACK, self.host, *self.allowed_hosts))

    @property
    def address(self) -> str:
        """Where the pages are."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}"

    @property
    def url(self) -> str:
        """The address that lets in."""
        return f"{self.address}/?token={self.token}"
