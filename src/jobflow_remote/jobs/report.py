"""Reports on all jobs and all flows, under the names of jobflow-remote 1.0.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from jobflow_remote.control.report import (
    FlowCounts,
    FlowTrends,
    JobCounts,
    JobTrends,
    report_flows,
    report_jobs,
)

if TYPE_CHECKING:
    from jobflow_remote.jobs.jobcontroller import JobController

__all__ = ["FlowTrends", "FlowsReport", "JobTrends", "JobsReport"]


@dataclass(frozen=True)
class JobsReport(JobCounts):
    """Where all jobs are; ``longest_running`` are JobInfo objects.

    Examples
    --------
    >>> report = JobsReport.generate_report(jc, interval="weeks")
    >>> report.completed, report.error, report.active
    (2, 1, 0)
    """

    @classmethod
    def generate_report(
        cls,
        job_controller: JobController,
        interval: str = "days",
        num_intervals: int | None = None,
        timezone: str = "UTC",
    ) -> Self:
        """Count all jobs.

        Parameters
        ----------
        interval
            hours, days, weeks, months or years.
        num_intervals
            How many; by default 12, 7, 4, 12 or 3.
        timezone
            Name of the time zone in which days begin, or ``local``.
        """
        from jobflow_remote.jobs.data import JobInfo

        found = report_jobs(
            job_controller.queue, interval=interval, num_intervals=num_intervals, zone=timezone
        )
        return cls(
            state_counts=found.state_counts,
            trends=found.trends,
            longest_running=[JobInfo.from_query_output(job) for job in found.longest_running],
            worker_utilization=found.worker_utilization,
            workers=found.workers,
        )


@dataclass(frozen=True)
class FlowsReport(FlowCounts):
    """Where all flows are.

    Examples
    --------
    >>> FlowsReport.generate_report(jc).state_counts[FlowState.COMPLETED]
    1
    """

    @classmethod
    def generate_report(
        cls,
        job_controller: JobController,
        interval: str = "days",
        num_intervals: int | None = None,
        timezone: str = "UTC",
    ) -> Self:
        """Count all flows; parameters as of :meth:`JobsReport.generate_report`."""
        found = report_flows(
            job_controller.queue, interval=interval, num_intervals=num_intervals, zone=timezone
        )
        return cls(state_counts=found.state_counts, trends=found.trends)
