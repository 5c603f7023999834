"""The timeline of a flow: read from the queue database, and written into a file."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from jobflow_remote.control.ids import resolve_flow
from jobflow_remote.control.inspect import flow_summary
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import Document
from jobflow_remote.model.timeline import FIELDS, Activity, FlowTimeline, JobTimeline, make_timeline
from jobflow_remote.queuedb.port import QueueDatabase

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>body {{ margin: 16px; background: #ffffff; }} svg {{ display: block; max-width: none; }}</style>
</head>
<body>
{picture}</body>
</html>
"""


def load_timeline(
    queue: QueueDatabase, identifier: str, *, is_job: bool = False
) -> tuple[Document, FlowTimeline]:
    """The flow that answers to an id, and its timeline until now.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    uuid = resolve_flow(queue, identifier, is_job=is_job)
    jobs = queue.find_jobs({"flow_uuid": uuid}, fields=FIELDS, sort=(("db_number", 1),))
    return flow_summary(queue, uuid), make_timeline(jobs, utcnow())


def save_timeline(flow: Document, timeline: FlowTimeline, path: Path) -> None:
    """Write the timeline into a file: .html, .svg, .png or .pdf.

    Raises
    ------
    CapabilityMissingError
        If that needs matplotlib, and it is not installed.
    """
    from jobflow_remote.control.drawing.save import FORMATS, check_format, save_picture
    from jobflow_remote.control.drawing.svg import render_svg
    from jobflow_remote.control.drawing.timelinepicture import draw_timeline

    picture = draw_timeline(timeline, title=f"{flow['name']} · {flow['state']}")
    if check_format(path, (".html", *FORMATS)) == ".html":
        page = _PAGE.format(title=escape(picture.title), picture=render_svg(picture, standalone=False))
        path.write_text(page, encoding="utf-8")
    else:
        save_picture(picture, path)


def as_plain(flow: Document, timeline: FlowTimeline) -> dict[str, Any]:
    """The timeline as JSON takes it."""
    totals = [job.totals() for job in timeline.jobs]
    return {
        "uuid": flow["uuid"],
        "name": flow["name"],
        "state": flow["state"],
        "start": timeline.start,
        "end": timeline.end,
        **{_SECONDS[activity]: round(sum(each[activity] for each in totals), 3) for activity in Activity},
        "jobs": [_plain_job(job, each) for job, each in zip(timeline.jobs, totals, strict=True)],
    }


_SECONDS = {activity: f"{activity.value}_seconds" for activity in Activity}


def _plain_job(job: JobTimeline, totals: Mapping[Activity, float]) -> dict[str, Any]:
    return {
        "db_id": job.db_id,
        "name": job.name,
        "index": job.index,
        "state": job.state.value,
        **{_SECONDS[activity]: round(seconds, 3) for activity, seconds in totals.items()},
        "spans": [
            {"activity": span.activity.value, "start": span.start, "end": span.end} for span in job.spans
        ],
    }
