"""``jf explain``: one screen on why a job, or a flow, is where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import out_console, print_json

if TYPE_CHECKING:
    from rich.text import Text

    from jobflow_remote.control.explain import Explanation

app = JFRTyper(name="explain")
_MARKS = {
    "fine": ("●", "green"),
    "note": ("●", "bright_black"),
    "wait": ("●", "blue"),
    "problem": ("●", "bold red"),
}


@app.callback(invoke_without_command=True)
def explain(
    identifier: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A job or a flow: a DB id, a uuid, or the first six or more letters of one."
        ),
    ],
    index: t.JobIndex = None,
    flow: Annotated[
        bool,
        typer.Option("--flow", "-f", help="The flow that the ID stands for, or is in.", show_default=False),
    ] = False,
    as_json: t.AsJson = False,
) -> None:
    """Explain why a job or a flow is where it is, and what would help.

    Looks at the jobs that it depends on, its worker, the runner, the scheduler, attempts and errors.
    """
    from jobflow_remote.control import explain as control

    services = current().services(for_machines=as_json)
    explanation = control.explain(services.queue, services.project, identifier, index, is_flow=flow)
    if as_json:
        print_json(control.as_plain(explanation))
    else:
        out_console().print(render_explanation(explanation), soft_wrap=True)


def render_explanation(explanation: Explanation) -> Text:
    """A headline, a line for each finding, and the commands that would help."""
    from rich.text import Text

    from jobflow_remote.control.drawing.colors import FLOW_COLORS, STATE_COLORS
    from jobflow_remote.control.drawing.shapes import plain_line
    from jobflow_remote.control.explain import say_moment

    colors = {state.value: color for state, color in (FLOW_COLORS | STATE_COLORS).items()}
    since = f" since {say_moment(explanation.since)}" if explanation.since else ""
    text = Text.assemble(
        f"{explanation.kind} ",
        (explanation.identifier, "bold"),
        f" ({plain_line(explanation.name)}) is ",
        (explanation.state, f"bold {colors[explanation.state]}"),
        f"{since}\n",
    )
    width = max((len(finding.about) for finding in explanation.findings), default=0)
    for finding in explanation.findings:
        mark, style = _MARKS[finding.weight.value]
        text.append(f"  {mark} ", style=style)
        text.append(f"{finding.about:<{width}}  ", style="dim")
        text.append(plain_line(finding.text) + "\n")
        for command in finding.commands:
            text.append(f"    {'':<{width}}  {command}\n", style="yellow")
    text.rstrip()
    return text
