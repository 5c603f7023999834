"""What programs can ask, described: ``/api`` and ``/api/v1/openapi.json``, from the same table as the pages."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

from fasthtml.components import H1, Code, P, Td, Tr
from starlette.requests import Request
from starlette.responses import Response

from jobflow_remote.model.states import JobState
from jobflow_remote.webgui.answers import API, json_answer, seen_by
from jobflow_remote.webgui.flowactions import LABELS, ON_JOBS
from jobflow_remote.webgui.jobactions import ACTIONS
from jobflow_remote.webgui.parts import grid_table, section
from jobflow_remote.webgui.runnerstate import ACTIONS as RUNNER_ACTIONS
from jobflow_remote.webgui.shell import frame, respond
from jobflow_remote.webgui.views import VIEWS

_PROJECT = f"{API}/projects/{{project}}"
_WORDS: dict[str, str] = {
    "id": "id of a job or flow: DB id, uuid, or the beginning of one",
    "flow": "id of a flow, or of a job in it",
    "name": "name, with * and ? as wildcards",
    "state": "a state, or unfinished, active, errors, held; repeatable",
    "worker": "name of a worker; repeatable",
    "hours": "updated in the last hours",
    "since": "updated since: 2025-03-17T18:30 (local time of the server)",
    "until": "updated until",
    "query": "a filter in the language of MongoDB, as JSON",
    "sort": "updated_on, created_on or db_id",
    "order": "asc or desc",
    "page": "page, from 1",
    "size": "lines of a page: 10, 20, 50, 100, 200",
    "index": "index of the job (default: the highest)",
    "log": "name of a log file",
    "closed": "nested flows that are shown as one box: their uuids, separated by commas",
    "interval": "hours, days, weeks, months or years",
    "number": "how many intervals",
}
_CHANGES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("/jobs/act", "Act on jobs; an empty selection changes nothing", {
        "action": {"enum": list(ACTIONS)},
        "job": {"type": "array", "items": {"type": "string"}, "description": "UUID:INDEX"},
        "scope": {"enum": ["filter"], "description": "all jobs of the filter, instead of `job`"},
        "filter": {"type": "string", "description": "as the query of an address of /jobs"},
        "force": {"type": "boolean"}, "outputs": {"type": "boolean"}, "files": {"type": "boolean"},
        "dry_run": {"type": "boolean"}, "why": {"type": "string"},
        "worker": {"type": "string", "description": "for `set`"},
        "priority": {"type": "integer", "description": "for `set`"},
        "exec_config": {"type": "string", "description": "for `set`: a name of the project's"},
        "resources": {"type": "object", "description": "for `set`; those not named stay, unless `replace`"},
        "replace": {"type": "boolean"},
        "qresources": {"type": "boolean", "description": "the names of `resources` are those of QResources"},
        "new_state": {"enum": [state.value for state in JobState], "description": "for `set_state`"},
    }),
    ("/flows/act", "Act on flows, or on their jobs; an empty selection changes nothing", {
        "action": {"enum": [*LABELS, *ON_JOBS]},
        "flow": {"type": "array", "items": {"type": "string"}, "description": "uuids"},
        "scope": {"enum": ["filter"]}, "filter": {"type": "string"},
        "outputs": {"type": "boolean"}, "files": {"type": "boolean"},
    }),
    ("/runner/act", "Start, stop or shut down the runner", {"action": {"enum": list(RUNNER_ACTIONS)}}),
)  # fmt: skip


def describe() -> dict[str, Any]:
    """The description in OpenAPI's form."""
    paths: dict[str, Any] = {f"{API}/projects": {"get": _operation("All projects", "", ())}}
    for view in VIEWS:
        paths[_PROJECT + view.path] = {"get": _operation(view.summary, _PROJECT + view.path, view.parameters)}
    paths[f"{_PROJECT}/jobs/{{key}}/file"] = {
        "get": _operation(
            "A file of the run folder; `name` as /files lists it", f"{_PROJECT}/{{key}}", ("index",)
        )
    }
    paths[f"{_PROJECT}/tasks/{{key}}"] = {"get": _operation("How far a change is", f"{_PROJECT}/{{key}}", ())}
    for path, summary, fields in _CHANGES:
        schema = {"type": "object", "properties": fields, "required": ["action"]}
        content = {
            "application/json": {"schema": schema},
            "application/x-www-form-urlencoded": {"schema": schema},
        }
        operation = _operation(summary, _PROJECT, ())
        operation["requestBody"] = {"required": True, "content": content}
        operation["responses"]["202"] = {"description": "It goes on; ask /tasks/{key}"}
        operation["responses"]["409"] = {"description": "Nothing was changed"}
        paths[_PROJECT + path] = {"post": operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": "jobflow-remote", "version": version("jobflow-remote")},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
        "paths": paths,
    }


def _operation(summary: str, path: str, parameters: tuple[str, ...]) -> dict[str, Any]:
    inside = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    asked = [
        {"name": name, "in": "query", "schema": {"type": "string"}, "description": _WORDS[name]}
        for name in parameters
    ]
    return {
        "summary": summary,
        "parameters": inside + asked,
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {"schema": {"type": "object"}}}},
            "401": {"description": "The token is missing or wrong"},
            "404": {"description": "There is no such project, job or flow"},
        },
    }


def answer(request: Request) -> Response:
    """The description as JSON."""
    return json_answer(describe())


def _names(operation: dict[str, Any]) -> list[str]:
    """What may be said beside the address, in the query or in the body."""
    asked = [each["name"] for each in operation["parameters"] if each["in"] == "query"]
    body = operation.get("requestBody", {"content": {"application/json": {"schema": {"properties": {}}}}})
    return [*asked, *body["content"]["application/json"]["schema"]["properties"]]


def show(request: Request) -> Response:
    """The description as a page."""
    rows = [
        Tr(Td(method.upper()), Td(Code(path)), Td(operation["summary"], cls="wrap"),
           Td(", ".join(_names(operation)), cls="wrap"))
        for path, methods in describe()["paths"].items()
        for method, operation in methods.items()
    ]  # fmt: skip
    return respond(
        frame(
            seen_by(request),
            "JSON and metrics",
            section(
                "For programs",
                P(
                    "Send the token that ",
                    Code("jf gui"),
                    " prints as ",
                    Code("Authorization: Bearer TOKEN"),
                    ".",
                ),
                P(
                    "The description in OpenAPI's form is at ",
                    Code(f"{API}/openapi.json"),
                    ", numbers for Prometheus at ",
                    Code("/metrics"),
                    ".",
                ),
                grid_table(("", "Address", "What", "Parameters"), rows, label="Addresses"),
            ),
            heading=H1("JSON and metrics"),
        )
    )
