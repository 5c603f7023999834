"""``jf gui``: what it is told, and what it says when it cannot serve."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.cli.conftest import Jf, World

pytest.importorskip("fasthtml", reason="the extra `gui` is not installed")

if TYPE_CHECKING:
    from jobflow_remote.webgui.options import GuiOptions


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[GuiOptions]:
    """Options of servers that were started, which end at once."""
    found: list[GuiOptions] = []

    def serve(options: GuiOptions, *, on_started: Callable[[], None], **_: Any) -> None:
        found.append(options)
        on_started()

    monkeypatch.setattr("jobflow_remote.webgui.server.serve", serve)
    for name in ("JFREMOTE_GUI_TOKEN", "JFREMOTE_GUI_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    return found


def test_only_this_machine_is_served_and_the_address_lets_in(
    world: World, jf: Jf, served: list[GuiOptions]
) -> None:
    printed = jf("gui").stdout
    (options,) = served
    assert (options.host, options.port, options.read_only, options.password) == (
        "127.0.0.1",
        5001,
        False,
        None,
    )
    assert f"http://127.0.0.1:5001/?token={options.token}" in printed
    assert len(options.token) >= 32
    jf("gui")
    assert served[0].token != served[1].token


def test_options(world: World, jf: Jf, served: list[GuiOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JFREMOTE_GUI_TOKEN", "known")
    jf("-p tutorial gui -p 8080 --read-only --password --allow-host gui.example", cli_input="secret\n")
    (options,) = served
    assert (options.port, options.read_only, options.password, options.token) == (
        8080,
        True,
        "secret",
        "known",
    )
    assert options.project == "tutorial"
    assert "gui.example" in options.host_names
    assert "secret" not in repr(options)
    assert "known" not in repr(options)


def test_listening_elsewhere_comes_with_a_warning(world: World, jf: Jf, served: list[GuiOptions]) -> None:
    jf("gui --host 0.0.0.0", required_out="not encrypted")
    assert served[0].host == "0.0.0.0"


def test_a_port_that_is_taken_is_said(world: World, jf: Jf) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        jf(f"gui -p {taken.getsockname()[1]}", error=True, required_out=["the port is taken", "--port"])


def test_without_the_extra_it_says_what_to_install(
    world: World, jf: Jf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("jobflow_remote.webgui")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    jf("gui", error=True, required_out="jobflow-remote[gui]")
