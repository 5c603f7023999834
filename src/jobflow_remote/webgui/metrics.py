"""Numbers for Prometheus, at ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from starlette.requests import Request
from starlette.responses import Response

from jobflow_remote.control.workers import is_runner_live, list_workers
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.webgui.answers import world_of
from jobflow_remote.webgui.world import Opened, World

KIND = "text/plain; version=0.0.4; charset=utf-8"
HELP = {
    "jobflow_remote_up": "Whether the queue database of the project answers.",
    "jobflow_remote_jobs": "Jobs by state.",
    "jobflow_remote_flows": "Flows by state.",
    "jobflow_remote_runner_up": "Whether a runner works on the queue, wherever it is.",
    "jobflow_remote_worker_up": "Whether the runner can work with the worker.",
    "jobflow_remote_worker_jobs": "Jobs of a worker that are not settled, by what they wait for.",
    "jobflow_remote_gui_browsers": "Pages that are open and follow what happens.",
}
Sample = tuple[str, Mapping[str, str], float]


def answer(request: Request) -> Response:
    """All projects, or those named by ``?project=``."""
    world = world_of(request)
    names = request.query_params.getlist("project") or [
        each.name for each in world.list_projects() if each.name
    ]
    samples = [sample for name in names for sample in measure(world, name)]
    return Response(render(samples), media_type=KIND)


def measure(world: World, name: str) -> Iterator[Sample]:
    """Numbers of one project; one that does not answer is down."""
    try:
        opened = world.open(name)
        found = list(_measure(opened))
    except JobflowRemoteError:
        yield "jobflow_remote_up", {"project": name}, 0
        return
    yield "jobflow_remote_up", {"project": name}, 1
    yield from found


def _measure(opened: Opened) -> Iterator[Sample]:
    queue, project = opened.services.queue, {"project": opened.name}
    jobs, flows = queue.count_job_states(), queue.count_flow_states()
    for state in JobState:
        yield "jobflow_remote_jobs", {**project, "state": state.value}, jobs.get(state.value, 0)
    for flow_state in FlowState:
        yield "jobflow_remote_flows", {**project, "state": flow_state.value}, flows.get(flow_state.value, 0)
    yield "jobflow_remote_runner_up", project, int(is_runner_live(queue))
    for worker in list_workers(queue, list(opened.project.workers)):
        labels = {**project, "worker": worker.name}
        yield "jobflow_remote_worker_up", labels, int(worker.is_up)
        for kind in ("ready", "in_hand", "in_scheduler", "running"):
            yield "jobflow_remote_worker_jobs", {**labels, "kind": kind}, getattr(worker.load, kind)
    yield "jobflow_remote_gui_browsers", project, opened.hub.listening


def render(samples: Iterable[Sample]) -> str:
    """The text format of Prometheus; samples of one name together, as it wants them."""
    by_name: dict[str, list[str]] = {name: [] for name in HELP}
    for name, labels, value in samples:
        inside = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        by_name[name].append(f"{name}{{{inside}}} {value:g}")
    lines = []
    for name, found in by_name.items():
        if found:
            lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge", *found]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
