"""What the shell offers after the Tab key: ids, and names of what there is.

Every function is for ``autocompletion=``. Imports come inside: this module is loaded by every command. A completion
never fails: who presses Tab wants no traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jobflow_remote.model.states import BatchState, FlowState, JobState

if TYPE_CHECKING:
    from jobflow_remote.config.snapshot import ProjectSnapshot
    from jobflow_remote.queuedb.port import QueueDatabase

_MOST = 50
Items = list[tuple[str, str]]
"""Values, each with what the shell shows beside it."""


def _snapshot(ctx: Any) -> ProjectSnapshot:
    from jobflow_remote.config.snapshot import load_snapshot

    return load_snapshot(ctx.find_root().params.get("project"))


@contextmanager
def _queue(ctx: Any) -> Iterator[QueueDatabase]:
    from jobflow_remote.queuedb import open_queue_database

    queue = open_queue_database(_snapshot(ctx).queue_spec)
    try:
        yield queue
    finally:
        queue.close()


def _beginning(values: Iterable[str], incomplete: str) -> Items:
    return [(value, "") for value in values if value.startswith(incomplete)]


def _quietly(complete: Callable[[], Items]) -> Items:
    try:
        return complete()
    except Exception:  # noqa: BLE001
        return []


# -- ids -------------------------------------------------------------------------------------------


def _range(incomplete: str) -> dict[str, str]:
    # served by the index, unlike a regular expression
    return {"$gte": incomplete, "$lt": incomplete + "\uffff"}


def _find_jobs(ctx: Any, query: dict[str, Any]) -> list[dict[str, Any]]:
    fields = ("db_id", "uuid", "index", "job.name", "state", "flow_uuid")
    newest_first = (("updated_on", -1),) if not query else ()
    with _queue(ctx) as queue:
        return queue.find_jobs(query, fields=fields, sort=newest_first, limit=_MOST)


def _about(job: dict[str, Any]) -> str:
    return f"{job['job']['name']} {job['state']}"


def _by_db_id(ctx: Any, incomplete: str) -> Items:
    found = _find_jobs(ctx, {"db_id": _range(incomplete)} if incomplete else {})
    return [(job["db_id"], _about(job)) for job in found]


def _by_uuid(ctx: Any, incomplete: str) -> Items:
    found = _find_jobs(ctx, {"uuid": _range(incomplete.lower())} if incomplete else {})
    return list(dict.fromkeys((job["uuid"], _about(job)) for job in found))


def complete_jobs(ctx: Any, incomplete: str) -> Items:
    """DB ids and uuids of jobs; of nothing typed yet, the jobs that changed last."""
    return _quietly(
        lambda: _by_db_id(ctx, incomplete) + (_by_uuid(ctx, incomplete) if len(incomplete) > 2 else [])
    )


def complete_uuids(ctx: Any, incomplete: str) -> Items:
    """uuids of jobs."""
    return _quietly(lambda: _by_uuid(ctx, incomplete))


def complete_uuids_with_index(ctx: Any, incomplete: str) -> Items:
    """``UUID:INDEX`` of jobs."""

    def complete() -> Items:
        uuid = incomplete.lower().partition(":")[0]
        found = _find_jobs(ctx, {"uuid": _range(uuid)} if uuid else {})
        pairs = [(f"{job['uuid']}:{job['index']}", _about(job)) for job in found]
        return [pair for pair in pairs if pair[0].startswith(incomplete.lower())]

    return _quietly(complete)


def complete_flows(ctx: Any, incomplete: str) -> Items:
    """uuids of flows, and DB ids of jobs."""

    def complete() -> Items:
        lowered = incomplete.lower()
        query: dict[str, Any] = {"uuid": _range(lowered)} if lowered else {}
        with _queue(ctx) as queue:
            found = queue.find_flows(
                query, fields=("uuid", "name", "state"), sort=(("updated_on", -1),), limit=_MOST
            )
        flows = [(flow["uuid"], f"{flow['name']} {flow['state']}") for flow in found]
        return flows + (_by_db_id(ctx, incomplete) if incomplete.isdigit() else [])

    return _quietly(complete)


# -- names -----------------------------------------------------------------------------------------


def complete_workers(ctx: Any, incomplete: str) -> Items:
    """Workers of the project."""
    return _quietly(lambda: _beginning(_snapshot(ctx).worker_names, incomplete))


def complete_exec_configs(ctx: Any, incomplete: str) -> Items:
    """Execution configurations of the project."""
    return _quietly(lambda: _beginning(_snapshot(ctx).exec_configs, incomplete))


def complete_stores(ctx: Any, incomplete: str) -> Items:
    """Optional output stores of the project."""
    return _quietly(lambda: _beginning(_snapshot(ctx).optional_jobstores, incomplete))


def complete_projects(incomplete: str) -> Items:
    """Projects of the projects folder."""
    from jobflow_remote.config.snapshot import list_project_names

    return _quietly(lambda: _beginning(list_project_names(), incomplete))


def complete_job_states(incomplete: str) -> Items:
    """States of jobs."""
    return _beginning((state.value for state in JobState), incomplete)


def complete_flow_states(incomplete: str) -> Items:
    """States of flows."""
    return _beginning((state.value for state in FlowState), incomplete)


def complete_batch_states(incomplete: str) -> Items:
    """States of batches."""
    return _beginning((state.value for state in BatchState), incomplete)


def complete_columns(incomplete: str) -> Items:
    """Columns of the listing of jobs, separated by commas."""
    from jobflow_remote.cli.columns import JOB_COLUMNS

    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    free = [name for name in JOB_COLUMNS if name not in taken and name.startswith(last)]
    return [(f"{before}{comma}{name}", JOB_COLUMNS[name].header) for name in free]
