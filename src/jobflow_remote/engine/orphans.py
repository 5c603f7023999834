"""Jobs whose worker is not in the project any more: they must not wait for ever in silence."""

from __future__ import annotations

from jobflow_remote.engine.context import RunnerContext
from jobflow_remote.errors import ConfigError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.decide.failure import decide_failure
from jobflow_remote.model.retry import RetryPolicy


def find_unknown_workers(runner: RunnerContext) -> frozenset[str]:
    """Workers of jobs that the project does not know."""
    services = runner.services
    return frozenset(worker for worker, _ in services.queue.workload()) - set(services.project.workers)


def give_up_orphans(runner: RunnerContext, workers: frozenset[str]) -> int:
    """Make jobs of unknown workers REMOTE_ERROR, with the names of the workers there are; returns how many."""
    services = runner.services
    given_up = 0
    for worker in sorted(workers - set(services.project.workers)):
        error = ConfigError(
            f"the project has no worker {worker!r}",
            hint=f"its workers: {', '.join(services.project.workers) or 'none'}; add it to the project file, or give "
            "the job another worker, and retry",
        )
        services.queue.claim(runner.token, worker=worker, limit=1000)
        records = services.queue.due(runner.token, states=lifecycle.ACTIVE, worker=worker, limit=1000)
        changes = [
            decide_failure(
                record,
                error,
                message=f"{error.message}\n{error.hint}",
                policy=RetryPolicy(),
                holder=runner.token,
                now=utcnow(),
            )
            for record in records
        ]
        given_up += sum(result.applied for result in services.queue.apply(changes))
    return given_up
