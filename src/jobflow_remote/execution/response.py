"""What a job's function returned beside its output, as plain data."""

from __future__ import annotations

from typing import Any

from jobflow_remote.execution.jobfields import flow_names, serialise_job


def render_response(response: Any) -> dict[str, Any]:
    """The part of ``jfremote_out.json`` that tells what is to happen next.

    ``replace``, ``detour`` and ``addition`` are lists of ``{"job": …, "parents": […]}``, parents first; the
    jobs were prepared by ``Job.run`` (hosts, metadata, configuration). ``flow_names``: name of each flow that they came
    in, by its uuid.
    """
    flows = [flow for flow in (response.replace, response.detour, response.addition) if flow is not None]
    return {
        "replace": _new_jobs("replace", response.replace),
        "detour": _new_jobs("detour", response.detour),
        "addition": _new_jobs("addition", response.addition),
        "flow_names": {uuid: name for flow in flows for uuid, name in flow_names(flow).items()},
        "stored_data": _plain(response.stored_data),
        "stop_children": bool(response.stop_children),
        "stop_jobflow": bool(response.stop_jobflow),
    }


def _new_jobs(what: str, flow: Any) -> list[dict[str, Any]] | None:
    if flow is None:
        return None
    try:
        return [
            {"job": serialise_job(job), "parents": list(dict.fromkeys(parents))}
            for job, parents in flow.iterflow()
        ]
    except Exception as error:
        names = ", ".join(f"{job.name!r}" for job in flow.jobs)
        raise RuntimeError(f"the response's {what} ({names}) cannot be serialised: {error}") from error


def _plain(data: Any) -> Any:
    """``stored_data`` as it can be stored; what is not serialisable becomes its text, for notes must not fail a job."""
    if data is None:
        return None
    from monty.json import jsanitize

    try:
        return jsanitize(data, strict=True, enum_values=True, allow_bson=True)
    except (AttributeError, TypeError, ValueError):
        return jsanitize(data, strict=False, enum_values=True, allow_bson=True, recursive_msonable=True)
