"""``jf flow graph`` and ``jf flow timeline``: a flow in the terminal, as text for Mermaid, or in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.output import out_console, print_json, print_message

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

    from jobflow_remote.cli.jfr_typer import JFRTyper
    from jobflow_remote.control.graph import LoadedGraph
    from jobflow_remote.model.flowgraph import FlowGraph, JobNode
    from jobflow_remote.model.timeline import FlowTimeline, JobTimeline

_CHART = 48

PicturePath = Annotated[
    Path | None,
    typer.Option(
        "--path",
        "-p",
        metavar="FILE",
        help="Write to a file: .html (a page that works offline), .svg, .png or .pdf.",
    ),
]


def register(app: JFRTyper) -> None:
    """Add the commands to ``jf flow``."""
    app.command("graph")(graph)
    app.command("timeline")(timeline)


def graph(
    flow_id: t.FlowId,
    job: t.IsJobId = False,
    label: Annotated[
        str,
        typer.Option(
            "--label", "-l", help="What is written on jobs: name, db_id, uuid, index, state or worker."
        ),
    ] = "name",
    path: PicturePath = None,
    mermaid: Annotated[
        bool, typer.Option("--mermaid", "-m", help="Print it in the language of Mermaid.", show_default=False)
    ] = False,
    dash: Annotated[
        bool, typer.Option("--dash", "-d", help="Not available: see --path FILE.html.", show_default=False)
    ] = False,
    as_json: t.AsJson = False,
) -> None:
    """Show the graph of a flow: its jobs and what they wait for.

    Without --path or --mermaid as a tree: nested flows as branches, behind each job those whose outputs it needs.
    """
    from jobflow_remote.control import graph as control
    from jobflow_remote.model.flowgraph import FIELDS

    if mermaid and dash:
        raise typer.BadParameter("--mermaid and --dash cannot be combined")
    if dash:
        raise control.dash_is_missing()
    control.check_label(label)
    queue = current().queue(for_machines=as_json or mermaid)
    fields = control.DETAILS if path is not None and path.suffix.lower() == ".html" else FIELDS
    loaded = control.load_graph(queue, flow_id, is_job=job, fields=fields)
    if path is not None:
        control.save_graph(loaded, path, label=label)
        print_message(f"The graph is in {path}", to_stderr=as_json or mermaid)
    if as_json:
        print_json(control.as_plain(loaded))
    elif mermaid:
        typer.echo(control.render_mermaid(loaded.graph, label=label), nl=False)
    elif path is None:
        out_console().print(make_graph_tree(loaded, label=label), soft_wrap=True)


def timeline(
    flow_id: t.FlowId,
    job: t.IsJobId = False,
    path: PicturePath = None,
    as_json: t.AsJson = False,
) -> None:
    """Show when the jobs of a flow waited, were queued, and ran."""
    from jobflow_remote.control import timeline as control

    queue = current().queue(for_machines=as_json)
    flow, times = control.load_timeline(queue, flow_id, is_job=job)
    if path is not None:
        control.save_timeline(flow, times, path)
        print_message(f"The timeline is in {path}", to_stderr=as_json)
    if as_json:
        print_json(control.as_plain(flow, times))
    elif path is None:
        _print_timeline(f"{flow['name']} - {flow['uuid']} - {flow['state']}", times)


# -- the graph as a tree ---------------------------------------------------------------------------


def make_graph_tree(loaded: LoadedGraph, *, label: str = "name") -> Tree:
    """Jobs in the order of their ids; nested flows where the first of their jobs stands."""
    from rich.text import Text
    from rich.tree import Tree

    from jobflow_remote.control.drawing.shapes import plain_line

    flow = loaded.flow
    tree = Tree(
        Text.assemble((plain_line(str(flow["name"])), "bold"), f" - {flow['uuid']} - {flow['state']}")
    )
    _add_jobs(tree, loaded.graph, loaded.graph.nodes, depth=0, label=label)
    return tree


def _add_jobs(tree: Tree, graph: FlowGraph, nodes: Sequence[JobNode], *, depth: int, label: str) -> None:
    from rich.text import Text

    from jobflow_remote.control.drawing.shapes import plain_line

    branches: dict[str, list[JobNode]] = {}
    for node in nodes:
        if len(node.hosts) > depth:
            branches.setdefault(node.hosts[depth], []).append(node)
    done: set[str] = set()
    for node in nodes:
        if len(node.hosts) <= depth:
            tree.add(_job_line(graph, node, label=label))
        elif node.hosts[depth] not in done:
            host = node.hosts[depth]
            done.add(host)
            inside = branches[host]
            name = plain_line(graph.flow_label(host))
            words = f"nested flow {name} ({len(inside)} job{'s' if len(inside) != 1 else ''})"
            _add_jobs(tree.add(Text(words, style="dim")), graph, inside, depth=depth + 1, label=label)


def _job_line(graph: FlowGraph, node: JobNode, *, label: str) -> Text:
    from rich.text import Text

    from jobflow_remote.control.drawing.colors import STATE_COLORS
    from jobflow_remote.control.drawing.shapes import plain_line
    from jobflow_remote.control.graph import label_of
    from jobflow_remote.model.flowgraph import EdgeKind

    again = f" ({node.index})" if node.index > 1 and label == "name" else ""
    text = Text.assemble(
        ("● ", STATE_COLORS[node.state]),
        (f"{node.db_id} ", "bold"),
        plain_line(label_of(node, label)) + again,
        ("  " + node.state.value, STATE_COLORS[node.state]),
    )
    if node.superseded:
        text.append("  superseded", style="dim")
    words = {EdgeKind.OUTPUT: "needs", EdgeKind.REPLACED: "replaces", EdgeKind.ADDED: "added by"}
    for kind, said in words.items():
        sources = graph.sources(node.db_id, kind)
        if sources:
            shown = ", ".join(sources[:6]) + (f" and {len(sources) - 6} more" if len(sources) > 6 else "")
            text.append(f"  {said} {shown}", style="dim")
    return text


# -- the timeline as bars --------------------------------------------------------------------------


def _print_timeline(title: str, times: FlowTimeline) -> None:
    from rich.text import Text

    from jobflow_remote.control.drawing.timelinepicture import ACTIVITY_COLORS, describe_times

    console = out_console()
    console.print(_timeline_table(title, times))
    legend = Text()
    for activity, color in ACTIVITY_COLORS.items():
        legend.append(_MARKS[activity.value], style=color)
        legend.append(f" {activity.value}   ")
    console.print(legend)
    console.print(Text(describe_times(times)))


_MARKS = {"waiting": "·", "queued": "░", "running": "█", "finishing": "▒", "held": "-"}


def _timeline_table(title: str, times: FlowTimeline) -> Table:
    from rich.table import Table
    from rich.text import Text

    from jobflow_remote.control.drawing.shapes import fit_text, plain_line
    from jobflow_remote.control.drawing.timelinepicture import format_seconds
    from jobflow_remote.model.timeline import Activity

    table = Table(title=Text(plain_line(title)), title_style="bold")
    table.add_column("DB id")
    table.add_column("Name", overflow="ellipsis", no_wrap=True)
    table.add_column("State")
    table.add_column(fit_text(f"{format_seconds(times.duration_seconds)}", 500), width=_CHART, no_wrap=True)
    for header in ("Waiting", "Queued", "Running"):
        table.add_column(header, justify="right", no_wrap=True)
    for line in times.jobs:
        again = f" ({line.index})" if line.index > 1 else ""
        spent = [line.seconds(each) for each in (Activity.WAITING, Activity.QUEUED, Activity.RUNNING)]
        table.add_row(
            Text(line.db_id),
            Text(plain_line(line.name) + again),
            _state(line),
            _bar(line, times),
            *(format_seconds(seconds) if seconds else "-" for seconds in spent),
        )
    return table


def _state(line: JobTimeline) -> Text:
    from rich.text import Text

    from jobflow_remote.control.drawing.colors import STATE_COLORS

    return Text(line.state.value, style=STATE_COLORS[line.state])


def _bar(line: JobTimeline, times: FlowTimeline) -> Text:
    from rich.text import Text

    from jobflow_remote.control.drawing.timelinepicture import ACTIVITY_COLORS
    from jobflow_remote.model.timeline import Activity

    whole = times.duration_seconds or 1.0
    cells: list[tuple[str, str]] = [(" ", "")] * _CHART
    for span in sorted(line.spans, key=lambda span: span.activity is Activity.RUNNING):  # a short run is seen
        first = int(_CHART * (span.start - times.start).total_seconds() / whole)
        last = round(_CHART * (span.end - times.start).total_seconds() / whole)
        for position in range(min(first, _CHART - 1), max(first + 1, last)):
            if position < _CHART:
                cells[position] = (_MARKS[span.activity.value], ACTIVITY_COLORS[span.activity])
    return Text.assemble(*cells)
