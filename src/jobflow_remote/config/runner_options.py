"""How the runner works: how often it looks, when it tries again, when it gives up."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobflow_remote.model.retry import RetryPolicy

Delay = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Period = Annotated[float, Field(gt=0, allow_inf_nan=False)]

WEEK_SECONDS = 7 * 24 * 3600.0


class RunnerOptions(BaseModel):
    """Options of the runner; all durations in seconds.

    The ``delay_…`` options are upper bounds: what can be known at once is acted upon at once.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    delay_checkout: Delay = 30
    """Longest time until a READY job is noticed."""
    delay_check_run_status: Delay = 30
    """Longest time between two questions to a scheduler."""
    delay_advance_status: Delay = 30
    """Longest time until a job that can be uploaded, submitted, downloaded or completed is noticed."""
    delay_refresh_limited: Delay = 600
    """Between two counts of the jobs of workers with ``max_jobs``."""
    delay_update_batch: Delay = 60
    """Longest time between two looks at the processes of batch workers."""
    delay_ping_db: Delay = 3600
    """Between two notes of the runner in the database that it is alive, for people."""
    lock_timeout: Annotated[float, Field(ge=0)] | None = 86400
    """Accepted and without effect: a claim ends when its runner's lease does."""
    delete_tmp_folder: bool = True
    """Remove the local copy of a job's files when it is completed."""
    max_step_attempts: Annotated[int, Field(ge=0)] = 3
    """Failures of a step that are forgiven; after one more the job is REMOTE_ERROR."""
    delta_retry: tuple[Delay, ...] = (30, 300, 1200)
    """Waiting time after the first, second, … failure; the last one is repeated."""
    unreachable_limit: Period = WEEK_SECONDS
    """How long a worker may be unreachable before its jobs become REMOTE_ERROR."""
    lease_seconds: Period = 60
    """After this silence a runner counts as dead and another one may follow it."""
    heartbeat_seconds: Period = 5
    """How often a runner says that it is alive."""

    @model_validator(mode="after")
    def _check_heartbeat(self) -> Self:
        if 2 * self.heartbeat_seconds > self.lease_seconds:
            raise ValueError("`heartbeat_seconds` must be at most half of `lease_seconds`")
        return self

    def get_delta_retry(self, step_attempts: int) -> float:
        """Waiting time after the failure number ``step_attempts`` (from 1)."""
        if not self.delta_retry:
            return 0.0
        return self.delta_retry[max(min(step_attempts, len(self.delta_retry)), 1) - 1]

    def retry_policy(self) -> RetryPolicy:
        """When a failed step is tried again."""
        return RetryPolicy(max_attempts=self.max_step_attempts, delays_seconds=self.delta_retry)
