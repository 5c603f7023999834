"""What each key of a project file is for, in the words of the models: for files that explain themselves, and pages."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from jobflow_remote.config.project import ExecutionConfig, Project, QueueConfig
from jobflow_remote.config.runner_options import RunnerOptions
from jobflow_remote.config.workers import WORKER_TYPES, BatchConfig, ConnectionData

Comments = Mapping[tuple[str, ...], str]

HEADER = """\
A project of jobflow-remote: where jobs run, which database holds them, where their outputs go.
A runner that works notices a change of this file. `jf project check` tells whether everything works."""


def read_attribute_docs(cls: type) -> dict[str, str]:
    """Name → the text below an attribute, for a class and those it inherits from."""
    docs: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if not each.__module__.startswith("jobflow_remote"):
            continue
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(node, ast.ClassDef)
        for statement, following in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                docs[statement.target.id] = to_one_paragraph(str(following.value.value))
    return docs


def to_one_paragraph(text: str) -> str:
    """A docstring as one paragraph."""
    text = re.sub(r":[a-z]+:`~?([^`<]+)`", r"`\1`", text)
    return " ".join(text.replace("``", "`").split())


def explain(data: Mapping[str, Any]) -> dict[tuple[str, ...], str]:
    """Comments for the keys of a project file by their place; what several workers have is explained once."""
    comments: dict[tuple[str, ...], str] = {(): HEADER}
    told: set[tuple[str, str]] = set()
    for place, values, model in _models(data):
        docs = read_attribute_docs(model)
        family = "worker" if model in WORKER_TYPES.values() else model.__name__
        for key in values:
            if key in docs and (family, key) not in told:
                told.add((family, key))
                comments[(*place, key)] = docs[key]
    return comments


def _models(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any], type[BaseModel]]]:
    """Each mapping of a project file that has a model."""
    yield (), data, Project
    for key, model in (("runner", RunnerOptions), ("queue", QueueConfig)):
        if data.get(key):
            yield (key,), data[key], model
    for name, worker in (data.get("workers") or {}).items():
        place = ("workers", name)
        yield place, worker, WORKER_TYPES[worker["type"]]
        for key, part in (("batch", BatchConfig), ("gateway", ConnectionData), ("transfer", ConnectionData)):
            if isinstance(worker.get(key), Mapping):
                yield (*place, key), worker[key], part
    for name, execution in (data.get("exec_config") or {}).items():
        yield ("exec_config", name), execution, ExecutionConfig
