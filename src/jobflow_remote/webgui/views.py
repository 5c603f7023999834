"""What can be read: each line of :data:`VIEWS` is a page, and the same as JSON below ``/api/v1``.

A view reads plain data, and renders it. Both run in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.webgui.pages import (
    batches,
    flow,
    flows,
    job,
    jobparts,
    jobs,
    overview,
    report,
    runner,
    timeline,
)
from jobflow_remote.webgui.params import FILTERS, Params
from jobflow_remote.webgui.parts import Element
from jobflow_remote.webgui.shell import Seen
from jobflow_remote.webgui.world import Opened


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a view."""

    opened: Opened
    params: Params
    key: str = ""
    """The part of the address that names a job, a flow or a task."""

    @property
    def index(self) -> int | None:
        """Index of a job, if it is given."""
        text = self.params.get("index") or ""
        return int(text) if text.isdigit() else None

    @property
    def closed(self) -> list[str] | None:
        """Nested flows that are shown as one box; None: nothing is said of them."""
        if "closed" not in dict(self.params.raw):
            return None
        return [uuid for uuid in (self.params.get("closed") or "").split(",") if uuid]


@dataclass(frozen=True, slots=True)
class View:
    """One page."""

    path: str
    summary: str
    read: Callable[[Asked], Mapping[str, Any]]
    render: Callable[[Seen, Mapping[str, Any]], Element] | None
    """None: there is only JSON."""
    parameters: tuple[str, ...] = ()
    """What the address may say beside its path."""
    refused: Callable[[Seen, JobflowRemoteError], Element] | None = None
    """The page when the request cannot be understood."""


_LIST = (*FILTERS, "sort", "order", "page", "size")
VIEWS: tuple[View, ...] = (
    View("", "How everything is", lambda asked: overview.read(asked.opened), overview.render),
    View(
        "/jobs",
        "Jobs of a filter, one page of them",
        lambda asked: jobs.read(asked.opened, asked.params),
        jobs.render,
        _LIST,
        jobs.render_refused,
    ),
    View(
        "/jobs/{key}",
        "One job: its document, parents and children, what can be done",
        lambda asked: job.read(asked.opened, asked.key, asked.index),
        job.render,
        ("index",),
    ),
    View(
        "/jobs/{key}/printed",
        "The ends of queue.out and queue.err",
        lambda asked: jobparts.read_printed(asked.opened, asked.key, asked.index),
        jobparts.render_printed,
        ("index",),
    ),
    View(
        "/jobs/{key}/files",
        "Files of the run folder",
        lambda asked: jobparts.read_files(asked.opened, asked.key, asked.index),
        jobparts.render_files,
        ("index",),
    ),
    View(
        "/jobs/{key}/output",
        "The output of a job",
        lambda asked: jobparts.read_output(asked.opened, asked.key, asked.index),
        jobparts.render_output,
        ("index",),
    ),
    View(
        "/flows",
        "Flows of a filter, one page of them",
        lambda asked: flows.read(asked.opened, asked.params),
        flows.render,
        _LIST,
        flows.render_refused,
    ),
    View(
        "/flows/{key}",
        "One flow and the numbers of its jobs",
        lambda asked: flow.read(asked.opened, asked.key),
        flow.render,
    ),
    View(
        "/flows/{key}/graph",
        "The graph of a flow: jobs, edges, places, nested flows",
        lambda asked: flow.read_graph(asked.opened, asked.key, asked.closed),
        None,
        ("closed",),
    ),
    View(
        "/flows/{key}/timeline",
        "What the jobs of a flow spent their time on",
        lambda asked: timeline.read(asked.opened, asked.key),
        timeline.render,
    ),
    View(
        "/report",
        "Where all jobs and flows are, and how many came to an end when",
        lambda asked: report.read(asked.opened, asked.params),
        report.render,
        ("interval", "number"),
    ),
    View(
        "/batches",
        "Scheduler jobs of batch workers",
        lambda asked: batches.read(asked.opened, asked.params),
        batches.render,
        ("worker", "state"),
        batches.render_refused,
    ),
    View(
        "/runner",
        "State, processes and log of the runner",
        lambda asked: runner.read(asked.opened, asked.params.get("log")),
        runner.render,
        ("log",),
    ),
)
