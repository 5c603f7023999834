"""Write the generated parts of the pages in this folder: everything that the code can tell by itself.

A page keeps its own text; between ``<!-- generated: name -->`` and ``<!-- end: name -->`` stands what is made here.
``python docs/generate.py`` writes the pages anew, ``--check`` only says which of them are out of date.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from jobflow_remote.cli.jf import app
from jobflow_remote.config.explained import read_attribute_docs, to_one_paragraph
from jobflow_remote.config.project import ExecutionConfig, Project, QueueConfig
from jobflow_remote.config.runner_options import RunnerOptions
from jobflow_remote.config.settings import ENV_PREFIX, JobflowRemoteSettings, setting_names
from jobflow_remote.config.workers import (
    BaseRemoteWorker,
    BatchConfig,
    ConnectionData,
    SeparatedTransferWorker,
    WorkerBase,
)
from jobflow_remote.model import lifecycle
from jobflow_remote.model.lifecycle import ACTIVE, ROLES, STEPS, TABLE, Actor, Target, Transition
from jobflow_remote.model.states import JobState

FOLDER = Path(__file__).parent
Row = tuple[str, ...]


def render_table(head: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


# -- the lifecycle -----------------------------------------------------------------------------------------------


def _state_names(states: Iterable[JobState]) -> str:
    chosen = frozenset(states)
    if chosen == frozenset(JobState):
        return "any"
    if chosen >= ACTIVE:
        rest = lifecycle.describe(chosen - ACTIVE)
        return f"{rest}, *active*" if rest else "*active*"
    return lifecycle.describe(chosen)


def _target_name(target: JobState | Target) -> str:
    return target.value if isinstance(target, JobState) else f"*{target.value}*"


def render_lifecycle_table() -> str:
    """Every row of the table."""
    rows = [
        (
            " / ".join(f"`{name}`" for name in (row.event, *row.aliases)),
            _state_names(row.sources) + (f"; forced: {_state_names(row.forced)}" if row.forced else ""),
            ", ".join(map(_target_name, row.targets)),
            f"{row.actor.value}: {row.step}" if row.step else row.actor.value,
            row.help,
        )
        for row in TABLE
    ]
    legend = f"*active*: {lifecycle.describe(ACTIVE)}. *remembered*: the state before REMOTE_ERROR."
    return f"{render_table(('event', 'from', 'to', 'who', 'meaning'), rows)}\n\n{legend}"


MEANINGS = {
    JobState.WAITING: "a parent has not been completed yet",
    JobState.READY: "can run: the runner has not taken it yet, or its worker is full or down",
    JobState.CHECKED_OUT: "the runner has it in hand",
    JobState.UPLOADED: "its inputs are on the worker",
    JobState.SUBMITTED: "in the queue of the scheduler",
    JobState.RUNNING: "running",
    JobState.TERMINATED: "it has left the scheduler; nothing is said about success",
    JobState.DOWNLOADED: "its results are here",
    JobState.REMOTE_ERROR: "something around it did not work: upload, scheduler, a killed process, a missing result",
    JobState.COMPLETED: "done, and its output is stored",
    JobState.FAILED: "its function raised an error",
    JobState.PAUSED: "somebody holds it back",
    JobState.STOPPED: "a job of the flow asked that what follows is not run",
    JobState.USER_STOPPED: "somebody stopped it",
    JobState.BATCH_SUBMITTED: "handed to a batch worker, whose pilots take it in turn",
    JobState.BATCH_RUNNING: "running in a pilot",
}
"""What a person reads into a state."""


def render_states() -> str:
    """Each state with what it means and what people can do in it."""
    rows = []
    for state in JobState:
        can = {
            row.event: row for row in TABLE if row.actor is Actor.PERSON and state in row.sources | row.forced
        }
        names = [
            f"`{name}`" + ("" if state in row.sources else " (forced)")
            for name, row in can.items()
            if name in PEOPLE
        ]
        rows.append((f"`{state.value}`", state.short_value, MEANINGS[state], ", ".join(names)))
    return render_table(("state", "short", "means", "you can"), rows)


PEOPLE = ("retry", "rerun", "pause", "play", "stop")
"""Commands of `jf job`, by their events."""


def render_roles() -> str:
    """Which process of the runner does what."""
    rows = [
        (f"`{role}`", f"`{step}`", lifecycle.describe(STEPS[step]))
        for role, steps in ROLES.items()
        for step in steps
    ]
    return render_table(("role (process)", "step", "takes jobs in"), rows)


BATCH = frozenset({JobState.BATCH_SUBMITTED, JobState.BATCH_RUNNING})
Node = Callable[[JobState | Target], str]


def _edges(rows: Iterable[Transition], node: Node) -> dict[tuple[str, str], list[str]]:
    """Pairs of nodes and the events that lead from one to the other."""
    labels: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        whole = row.sources >= ACTIVE - BATCH
        single = [state for state in JobState if state in row.sources and not (whole and state in ACTIVE)]
        sources = (["active"] if whole else []) + [node(state) for state in single]
        for pair in ((source, node(target)) for target in row.targets for source in sources):
            events = labels.setdefault(pair, [])
            if row.event not in events and not _crosses_over(*pair):
                events.append(row.event)
    return {pair: events for pair, events in labels.items() if events and pair[0] != pair[1]}


def _crosses_over(source: str, to: str) -> bool:
    """Jobs of batch workers and others do not change places."""
    return source.startswith("BATCH") != to.startswith("BATCH") and bool(
        {source, to} & {"SUBMITTED", "RUNNING"}
    )


def _render_flowchart(nodes: Iterable[str], labels: dict[tuple[str, str], list[str]]) -> str:
    edges = [f"{source} -->|{', '.join(events)}| {to}" for (source, to), events in labels.items()]
    return "\n".join(["```mermaid", "flowchart TD", *(f"  {line}" for line in [*nodes, *edges]), "```"])


def render_runner_diagram() -> str:
    """What the runner does."""
    nodes = [
        'subgraph active ["the runner has the job in hand"]',
        *(f"  {state.value}" for state in JobState if state in ACTIVE),
        "end",
    ]
    return _render_flowchart(nodes, _edges([row for row in TABLE if row.actor is Actor.RUNNER], str))


def render_people_diagram() -> str:
    """What people do without insisting. Whether a job is WAITING or READY follows from its parents."""

    def node(state: JobState | Target) -> str:
        if state in (JobState.WAITING, JobState.READY):
            return "not_begun"
        return "active" if isinstance(state, Target) else str(state)

    nodes = ['not_begun["WAITING or READY"]', 'active["the runner has the job in hand"]']
    return _render_flowchart(nodes, _edges([row for row in TABLE if row.actor is Actor.PERSON], node))


# -- the configuration -------------------------------------------------------------------------------------------


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "**required**"
    if field.default is PydanticUndefined or field.default == "":
        return "see text"
    return f"`{_plain(field.default)}`"


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return str([_number(each) for each in value])
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(_number(value))


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _render_model(model: type[BaseModel], *, without: Iterable[str] = ()) -> str:
    docs, left_out = read_attribute_docs(model), set(without)
    rows = [
        (f"`{name}`", _default(model, name), docs.get(name, ""))
        for name in model.model_fields
        if name not in left_out
    ]
    return render_table(("key", "default", "meaning"), rows)


def render_settings() -> str:
    """Settings of the user."""
    docs = read_attribute_docs(JobflowRemoteSettings)
    rows = [(f"`{name}`", f"`{ENV_PREFIX}{name.upper()}`", docs.get(name, "")) for name in setting_names()]
    return render_table(("setting", "variable", "meaning"), rows)


def _models() -> dict[str, Callable[[], str]]:
    common = list(WorkerBase.model_fields)
    return {
        "settings": render_settings,
        "project": lambda: _render_model(Project),
        "runner": lambda: _render_model(RunnerOptions),
        "queue": lambda: _render_model(QueueConfig),
        "exec_config": lambda: _render_model(ExecutionConfig),
        "worker": lambda: _render_model(WorkerBase),
        "remote worker": lambda: _render_model(BaseRemoteWorker, without=common),
        "transfer host": lambda: _render_model(
            SeparatedTransferWorker, without=[*common, *BaseRemoteWorker.model_fields]
        ),
        "connection": lambda: _render_model(ConnectionData),
        "batch": lambda: _render_model(BatchConfig),
    }


# -- the commands ------------------------------------------------------------------------------------------------


def list_commands() -> list[tuple[str, Any]]:
    """Words of each command and the command itself, in the order of the tree; hidden ones left out."""
    root = typer.main.get_command(app)
    return list(_walk("jf", root, typer.Context(root)))


def _walk(words: str, command: Any, ctx: Any) -> Iterator[tuple[str, Any]]:
    real = getattr(command, "loaded", command)
    names = sorted(real.list_commands(ctx)) if hasattr(real, "list_commands") else []
    if not names:
        yield words, real
        return
    for name in names:
        child = real.get_command(ctx, name)
        if not child.hidden:
            yield from _walk(f"{words} {name}", child, typer.Context(child, parent=ctx))


def render_commands() -> str:
    """Every command with its first paragraph and its options."""
    return "\n\n".join(_render_command(words, command) for words, command in list_commands())


def _render_command(words: str, command: Any) -> str:
    parameters = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    options = [each for each in parameters if each.param_type_name == "option"]
    named = [(each.metavar or str(each.name).upper(), each.required) for each in arguments]
    usage = " ".join([words, *(name if required else f"[{name}]" for name, required in named)])
    text = inspect.cleandoc(command.help or "").partition("\f")[0].split("\n\n")[0]
    parts = [f"### {words}", f"`{usage}`", to_one_paragraph(text)]
    if options:
        rows = [
            (", ".join(f"`{name}`" for name in each.opts), to_one_paragraph(each.help or ""))
            for each in options
        ]
        parts.append(render_table(("option", "meaning"), rows))
    return "\n\n".join(parts)


# -- pages -------------------------------------------------------------------------------------------------------


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "lifecycle.md": {
        "states": render_states,
        "table": render_lifecycle_table,
        "roles": render_roles,
        "runner diagram": render_runner_diagram,
        "people diagram": render_people_diagram,
    },
    "configuration.md": _models(),
    "commands.md": {"commands": render_commands},
}
"""Page → its generated parts."""


def fill(text: str, parts: dict[str, Callable[[], str]], *, page: str) -> str:
    """The text of a page with its generated parts made anew."""
    for name, render in parts.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise SystemExit(f"{page}: there should be a part between `{begin}` and `{end}`")
        text = f"{before}{begin}\n\n{render()}\n\n{end}{after}"
    return text


def find_stale() -> dict[Path, str]:
    """Pages that are not what they should be, and what they should be."""
    stale = {}
    for name, parts in PAGES.items():
        path = FOLDER / name
        text = path.read_text(encoding="utf-8")
        wanted = fill(text, parts, page=name)
        if wanted != text:
            stale[path] = wanted
    return stale


def main(arguments: list[str]) -> int:
    """Write what is out of date, or only say so."""
    stale = find_stale()
    only_check = "--check" in arguments
    for path, text in stale.items():
        print(f"{path.name} {'is out of date: run `make docs`' if only_check else 'written'}")
        if not only_check:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and only_check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
