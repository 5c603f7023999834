"""What is wrong in a project file, in words, with the line and the key that was probably meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jobflow_remote.config.nearest import did_you_mean
from jobflow_remote.config.project import ExecutionConfig, Project, QueueConfig
from jobflow_remote.config.projectfile import Document
from jobflow_remote.config.runner_options import RunnerOptions
from jobflow_remote.config.workers import WORKER_TYPES, BatchConfig, ConnectionData
from jobflow_remote.errors import ProjectParsingError

_Path = tuple[str | int, ...]


def parse_project(document: Document) -> Project:
    """The project that a file describes.

    Raises
    ------
    ProjectParsingError
        With every problem of the file, each with its key and line.
    """
    try:
        return Project.model_validate(document.data)
    except ValidationError as exc:
        problems = describe_problems(exc, document)
        message = f"the project file {document.path} cannot be used:"
        message += "".join(f"\n  - {problem}" for problem in problems)
        raise ProjectParsingError(
            message if len(problems) > 1 else f"in the project file {document.path}: {problems[0]}",
            hint="correct the file, then try jf project check",
        ) from None


def describe_problems(exc: ValidationError, document: Document) -> list[str]:
    """One sentence for each problem, in the order of the file."""
    by_path: dict[_Path, list[ErrorDetails]] = {}
    for error in exc.errors(include_url=False, include_context=True):
        if error["type"] != "default_factory_not_called":  # a consequence of another problem
            by_path.setdefault(_real_path(error, document.data), []).append(error)
    # of the branches of a union only the one that got furthest is of interest
    paths = [path for path in by_path if not any(_is_branch(path, other, by_path) for other in by_path)]
    told = [(document.line_of(path), _describe(path, by_path[path], document)) for path in paths]
    return [sentence for _, sentence in sorted(told, key=lambda item: item[0] or 0)]


def _is_branch(path: _Path, other: _Path, by_path: Mapping[_Path, list[ErrorDetails]]) -> bool:
    deeper = len(other) > len(path) and other[: len(path)] == path
    return deeper and any(len(error["loc"]) > len(path) for error in by_path[path])


def _real_path(error: ErrorDetails, data: Any) -> _Path:
    """The location of an error without the steps that pydantic adds for unions."""
    path: list[str | int] = []
    for position, step in enumerate(error["loc"]):
        is_last = position == len(error["loc"]) - 1
        if _holds(data, step):
            path.append(step)
            data = data[step]
        elif is_last and error["type"] == "missing":
            path.append(step)
    return tuple(path)


def _holds(data: Any, step: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(step, int) and step < len(data)
    return isinstance(data, Mapping) and step in data


def _describe(path: _Path, errors: list[ErrorDetails], document: Document) -> str:
    error = errors[0]
    line = document.line_of(path)
    place = f" (line {line})" if line else ""
    key = str(path[-1]) if path else ""
    where = f" in {_dotted(path[:-1])}" if len(path) > 1 else ""
    match error["type"]:
        case "extra_forbidden":
            known = _keys_at(path[:-1], document.data)
            return f"unknown key `{key}`{where}{place}" + did_you_mean(key, known)
        case "missing":
            return f"key `{key}` is missing{where}{place}"
        case "union_tag_invalid":
            types = list(WORKER_TYPES)
            given = str(error.get("ctx", {}).get("tag", ""))
            return f"`type` of {_dotted(path)} is {given!r}{place}; can be {', '.join(types)}" + did_you_mean(
                given, types
            )
        case "union_tag_not_found":
            return f"key `type` is missing in {_dotted(path)}{place}; can be {', '.join(WORKER_TYPES)}"
    messages = list(dict.fromkeys(_message(error) for error in errors))
    subject = f"`{key}`{where}{place}: " if path else ""
    return subject + ", or ".join(messages)


def _message(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    message = str(error["msg"]).replace("Input should", "should")
    return message[:1].lower() + message[1:]


def _dotted(path: _Path) -> str:
    return ".".join(str(step) for step in path)


def _keys_at(path: _Path, data: Mapping[str, Any]) -> list[str]:
    """The keys that are possible at a place of a project file."""
    model: type[BaseModel] | None = None
    match path:
        case ():
            model = Project
        case ("runner",):
            model = RunnerOptions
        case ("queue",):
            model = QueueConfig
        case ("exec_config", _):
            model = ExecutionConfig
        case ("workers", _, "batch"):
            model = BatchConfig
        case ("workers", name):
            model = WORKER_TYPES.get(data["workers"][name].get("type"))
        case ("workers", _, *rest) if rest[-1] in {"gateway", "transfer"}:
            model = ConnectionData
    return list(model.model_fields) if model else []
