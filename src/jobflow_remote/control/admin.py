"""What an administrator does to the whole queue database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from jobflow_remote.errors import RunnerActiveError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.services.session import describe_owner, is_runner_alive

if TYPE_CHECKING:
    from jobflow_remote.outputs.jobstore import OutputStore

MAX_FLOWS = 25
"""From this many flows on, a reset wants to hear today's date."""


def today() -> str:
    """Today's date, as it has to be typed."""
    return date.today().isoformat()


def check_runner_stopped(daemon_dir: str | Path, queue: QueueDatabase) -> None:
    """Refuse while a runner works on the queue.

    A session that was left behind by a killed runner of this very machine and folder is cleared.

    Raises
    ------
    RunnerActiveError
        The message says whose runner it is and where.
    """
    if is_runner_alive(daemon_dir):
        raise RunnerActiveError(
            "a runner of this project is active on this machine",
            hint="stop it first: `jf runner shutdown --wait`",
        )
    session = queue.get_session()
    if session is None or not session.is_live(utcnow()):
        return
    ours = describe_owner("", daemon_dir)
    if all(session.owner.get(key) == ours[key] for key in ("hostname", "daemon_dir")):
        queue.clear_session()
        return
    owner = session.owner
    raise RunnerActiveError(
        f"the runner of {owner.get('user')} on {owner.get('hostname')} is active",
        hint="stop it first: `jf runner stop`; if its machine is gone: `jf runner reset`",
    )


def reset(
    daemon_dir: str | Path,
    queue: QueueDatabase,
    *,
    open_outputs: Callable[[str | None], OutputStore] | None = None,
    max_limit: int = MAX_FLOWS,
    validation: str | None = None,
) -> bool:
    """Remove all jobs and flows; ids start at 1 again. Returns whether it was done.

    Parameters
    ----------
    open_outputs
        Opens an output store by its name: the outputs of all jobs in the queue database are removed from it
        too, and no others (projects may share a store).
    max_limit
        Refuse (return False) from this many flows on, unless ``validation`` is today's date; 0: no limit.

    Raises
    ------
    RunnerActiveError
        If a runner is active.
    """
    if max_limit and queue.count_flows({}) >= max_limit and validation != today():
        return False
    check_runner_stopped(daemon_dir, queue)
    if open_outputs is not None:
        _remove_outputs(queue, open_outputs)
    queue.reset()
    return True


def _remove_outputs(queue: QueueDatabase, open_outputs: Callable[[str | None], OutputStore]) -> None:
    store_of = {
        flow["uuid"]: flow.get("jobstore") for flow in queue.find_flows({}, fields=["uuid", "jobstore"])
    }
    keys: dict[str | None, list[tuple[str, int]]] = {}
    for job in queue.find_jobs({}, fields=["uuid", "index", "flow_uuid"]):
        keys.setdefault(store_of.get(job["flow_uuid"]), []).append((job["uuid"], job["index"]))
    for name, wanted in keys.items():
        open_outputs(name).remove_outputs(wanted)
