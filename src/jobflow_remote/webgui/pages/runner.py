"""The runner: how it is, starting and stopping it, its log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fasthtml.components import H1, A, Div, P, Td, Tr

from jobflow_remote.webgui import runnerstate
from jobflow_remote.webgui.parts import Element, empty, file_size, grid_table, section, text_block
from jobflow_remote.webgui.shell import Seen, frame
from jobflow_remote.webgui.world import Opened


def read(opened: Opened, log: str | None) -> dict[str, Any]:
    """State, processes and the end of a log (by default the one written to last)."""
    state = runnerstate.read(opened)
    name = log or (state["logs"][0]["name"] if state["logs"] else None)
    return {
        **state,
        "log": None if name is None else {"name": name, "text": runnerstate.read_log(opened, name)},
    }


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    return frame(
        seen,
        "Runner",
        Div(
            section("State", runnerstate.summary(seen, data), key="state"),
            section("Processes", _processes(data), key="processes"),
            cls="columns",
        ),
        section("Lanes", runnerstate.lanes(data, everything=True), key="lanes"),
        section("Log", *_log(seen, data), key="log"),
        Div(data_renew="5", hidden=True),
        heading=H1("Runner"),
    )


def _processes(data: Mapping[str, Any]) -> Element:
    if not data["processes"]:
        return empty("No process of the runner lives on this machine.")
    return grid_table(
        ("Process", "Pid", "State"),
        [Tr(Td(name), Td(str(each["pid"] or ""), cls="number"), Td(each["state"]))
         for name, each in data["processes"].items()],
        label="Processes of the runner",
    )  # fmt: skip


def _log(seen: Seen, data: Mapping[str, Any]) -> list[Any]:
    if not data["log"]:
        return [empty("There is no log yet: the runner has not been started here.")]
    links: list[Any] = []
    for log in data["logs"]:
        current = {"aria_current": "true"} if log["name"] == data["log"]["name"] else {}
        links += [
            A(log["name"], href=f"{seen.root}/runner?log={log['name']}", **current),
            f" {file_size(log['size'])}  ",
        ]
    return [
        P(*links, cls="muted"),
        text_block(data["log"]["text"] or "It is empty.", label=f"Log {data['log']['name']}"),
    ]
