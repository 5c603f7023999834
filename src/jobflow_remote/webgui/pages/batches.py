"""The scheduler jobs (pilots) of batch workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fasthtml.components import H1, A, Button, Code, Div, Form, P, Span, Td, Tr

from jobflow_remote.control.batches import list_batches
from jobflow_remote.errors import FilterError, JobflowRemoteError
from jobflow_remote.model.selection import BatchSelection
from jobflow_remote.model.states import BatchState
from jobflow_remote.webgui.params import Params
from jobflow_remote.webgui.parts import Element, choice, empty, grid_table, moment, notice, path_part, section
from jobflow_remote.webgui.shell import Seen, frame
from jobflow_remote.webgui.world import Opened

SHOWN = 200
_NAMED = 8
_SHADES = {"SUBMITTED": "cyan", "RUNNING": "blue", "FINISHED": "grey"}


def read(opened: Opened, params: Params) -> dict[str, Any]:
    """Batches of a filter, the latest change first."""
    states = []
    for word in params.get_all("state"):
        try:
            states.append(BatchState(word.upper()))
        except ValueError:
            raise FilterError(f"no state of batches is called {word!r}") from None
    selection = BatchSelection(workers=params.get_all("worker") or None, states=states or None)
    return {"batches": list_batches(opened.services.queue, selection, limit=SHOWN)}


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    error = data.get("problem")
    return frame(
        seen,
        "Batches",
        _filters(seen),
        notice(error.message, error.hint)
        if error
        else section("Pilots", _table(seen, data["batches"]), key="batches"),
        heading=H1("Batches"),
    )


def render_refused(seen: Seen, error: JobflowRemoteError) -> Element:
    """The page when the filter cannot be understood."""
    return render(seen, {"problem": error})


def _filters(seen: Seen) -> Element:
    assert seen.opened is not None
    workers = [name for name, worker in seen.opened.project.workers.items() if worker.is_batch]
    return Form(
        Div(
            choice("worker", "Worker", [("", "any"), *((name, name) for name in workers)],
                   seen.params.get_all("worker") or [""]),
            choice("state", "State", [("", "any"), *((state.value, state.value) for state in BatchState)],
                   seen.params.get_all("state") or [""]),
            Button("Filter", type="submit", cls="primary"),
            cls="fields",
        ),
        method="get", action=seen.path, cls="filters", role="search", aria_label="Filter batches",
    )  # fmt: skip


def _table(seen: Seen, batches: Sequence[Mapping[str, Any]]) -> Element:
    if not batches:
        return empty(
            "There are no batches.",
            P(
                "A worker with ",
                Code("batch"),
                " runs many jobs in each job of its scheduler; they are listed here.",
            ),
        )
    return grid_table(
        ("Batch", "Worker", "State", "Scheduler's id", "Jobs", "Running now", "Started", "Last updated"),
        [_line(seen, each) for each in batches],
        label="Batches",
    )


def _line(seen: Seen, batch: Mapping[str, Any]) -> Element:
    jobs = batch.get("jobs") or []
    state = str(batch.get("batch_state"))
    return Tr(
        Td(batch["batch_uid"][:8], title=batch["batch_uid"], cls="mono"),
        Td(batch.get("worker")),
        Td(Span(state, cls=f"state {_SHADES.get(state, 'grey')}")),
        Td(batch.get("process_id") or ""),
        Td(*_links(seen, jobs), cls="wrap"),
        Td(str(len(batch.get("running_jobs") or [])), cls="number"),
        Td(moment(batch.get("start_time"))),
        Td(moment(batch.get("last_ping_time") or batch.get("end_time"))),
    )


def _links(seen: Seen, jobs: Sequence[Sequence[Any]]) -> list[Any]:
    parts: list[Any] = [f"{len(jobs)}  "]
    for job in jobs[:_NAMED]:
        parts += [A(str(job[0]), href=f"{seen.root}/jobs/{path_part(job[0])}"), " "]
    return [*parts, "…"] if len(jobs) > _NAMED else parts
