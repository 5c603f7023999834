"""Serving the pages until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType

import uvicorn

from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.webgui.app import make_app
from jobflow_remote.webgui.options import GuiOptions
from jobflow_remote.webgui.world import World


class _Server(uvicorn.Server):
    """Ends the streams first: they would last for ever."""

    def __init__(self, config: uvicorn.Config, world: World, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._world, self._on_started = world, on_started

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Say that it is there when it is."""
        await super().startup(sockets)  # type: ignore[arg-type]
        if not self.should_exit:
            self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C, or a signal."""
        self._world.end_streams()
        super().handle_exit(sig, frame)


def serve(
    options: GuiOptions, *, on_started: Callable[[], None] = lambda: None, log_level: str = "warning"
) -> None:
    """Serve until somebody ends it.

    Raises
    ------
    JobflowRemoteError
        If the port is taken.
    """
    world = World(first=options.project, read_only=options.read_only)
    config = uvicorn.Config(
        make_app(options, world), host=options.host, port=options.port, log_level=log_level, access_log=False,
        server_header=False, timeout_graceful_shutdown=3, lifespan="on", ws="none",
    )  # fmt: skip
    server = _Server(config, world, on_started)
    try:
        server.run()
    except SystemExit:
        pass
    if not server.started:
        raise JobflowRemoteError(
            f"nothing can be served at {options.address}",
            hint="the port is taken, perhaps; --port names another one",
        )
