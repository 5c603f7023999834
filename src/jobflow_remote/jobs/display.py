"""How notebooks show jobs and flows: lists that print as lists, and are tables where HTML is understood."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobflow_remote.jobs.data import FlowInfo, JobInfo


class JobList(list["JobInfo"]):
    """Jobs."""

    def _repr_html_(self) -> str:
        from jobflow_remote.control.drawing.notebook import render_jobs

        return render_jobs(
            [vars(job) for job in self], caption=f"{len(self)} job{'s' if len(self) != 1 else ''}"
        )


class FlowList(list["FlowInfo"]):
    """Flows."""

    def _repr_html_(self) -> str:
        from jobflow_remote.control.drawing.notebook import render_table, state_cell, text_cell

        rows = [
            (
                text_cell(flow.db_ids[0] if flow.db_ids else ""),
                text_cell(flow.name),
                state_cell(flow.state.value),
                text_cell(flow.flow_id),
                str(len(flow.job_ids)),
                text_cell(flow.updated_on),
            )
            for flow in self
        ]
        headers = ("DB id", "Name", "State", "Flow id", "Jobs", "Last updated")
        return render_table(headers, rows, caption=f"{len(self)} flow{'s' if len(self) != 1 else ''}")


def show_job(job: JobInfo) -> str:
    """One job."""
    from jobflow_remote.control.drawing.notebook import render_values

    return render_values(
        {
            "DB id": job.db_id,
            "state": job.state.value,
            "job id (index)": f"{job.uuid} ({job.index})",
            "worker": job.worker,
            "created": job.created_on,
            "updated": job.updated_on,
            "started": job.start_time,
            "ended": job.end_time,
            "run folder": job.run_dir,
            "queue id": job.remote.process_id,
            "error": job.error or job.remote.error,
        },
        caption=job.name,
    )


def show_flow(flow: FlowInfo) -> str:
    """One flow and its jobs, as far as they were asked for."""
    from jobflow_remote.control.drawing.notebook import render_jobs, render_values

    known = {
        "state": flow.state.value,
        "flow id": flow.flow_id,
        "jobs": len(flow.job_ids),
        "updated": flow.updated_on,
    }
    shown = render_values(known, caption=flow.name)
    return shown + render_jobs(flow.iter_job_prop()) if flow.job_names else shown
