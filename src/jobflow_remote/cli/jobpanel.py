"""One job as ``key = value`` lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobflow_remote.cli.formatting import elide, format_date, format_value
from jobflow_remote.model.clock import to_local

if TYPE_CHECKING:
    from rich.panel import Panel

ORDER = (
    "db_id", "uuid", "index", "name", "state", "error", "waits_for", "scheduler", "remote",
    "previous_state", "job", "created_on",
    "updated_on", "start_time", "end_time", "metadata", "run_dir", "parents", "priority", "worker",
    "resources", "exec_config", "lock_id", "lock_time", "stored_data", "hosts", "host_names", "flow_uuid", "superseded",
    "attempt", "claim", "history",
)  # fmt: skip
_IF_ANY = ("superseded", "host_names")
_SUMMARY = frozenset(ORDER) - {
    "job", "resources", "exec_config", "flow_uuid", "superseded", "attempt", "claim", "history",
}  # fmt: skip


def flatten(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with what people look for in the serialised job at the top."""
    job = document.get("job") or {}
    return {
        **document,
        "name": job.get("name"),
        "metadata": job.get("metadata"),
        "hosts": job.get("hosts"),
        "scheduler": describe_queue_state(document.get("remote") or {}),
        "waits_for": _describe_wait(document.get("waits_for")),
    }


def describe_queue_state(remote: Mapping[str, Any]) -> str | None:
    """What the scheduler says of a job: its word, and the reason that it gives."""
    state, reason = remote.get("queue_state"), remote.get("reason")
    return f"{state}: {reason}" if state and reason else state or reason


def _describe_wait(waits_for: Mapping[str, Any] | None) -> str | None:
    if not waits_for:
        return None
    next_try = waits_for.get("next_try")
    again = f"; next try {to_local(next_try):%H:%M:%S}" if next_try else ""
    return (
        f"worker {waits_for['worker']}, down since {format_date(waits_for['since'])} "
        f"({waits_for['step']}{again}): {waits_for['why']}"
    )


def _shown(document: Mapping[str, Any], verbosity: int) -> dict[str, Any]:
    values = {key: value for key, value in flatten(document).items() if key in ORDER}
    if verbosity < 1:
        values = {key: value for key, value in values.items() if key in _SUMMARY}
        remote = dict(values.get("remote") or {})
        for key in ("queue_out", "queue_err"):
            remote.pop(key, None)
        values["remote"] = remote
    if verbosity < 2:
        values.pop("job", None)
        for key in ("parents", "hosts", "host_names"):
            values[key] = elide(values.get(key) or [])
    return {key: value for key, value in values.items() if value or key not in _IF_ANY}


def make_job_panel(document: Mapping[str, Any], *, verbosity: int, show_none: bool) -> Panel:
    """What ``jf job info`` prints."""
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    values = _shown(document, verbosity)
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style="yellow", no_wrap=True)
    table.add_column(style="red")
    table.add_column(overflow="fold")
    for key in ORDER:
        if key in values and (show_none or values[key] is not None):
            table.add_row(key, "=", Text(format_value(values[key], show_none=show_none)))
    return Panel.fit(table)
