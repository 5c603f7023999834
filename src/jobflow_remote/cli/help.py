"""Help pages and the tree of commands, with few imports: Typer's own help costs more than most commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from jobflow_remote.cli.output import out_console

MAX_WIDTH = 120


def first_paragraph(command: Any) -> str:
    """What a command is for, in one paragraph."""
    text = inspect.cleandoc(command.short_help or command.help or "")
    return " ".join(text.split("\n\n")[0].split())


def _visible(group: Any, ctx: Any) -> list[tuple[str, Any]]:
    pairs = ((name, group.get_command(ctx, name)) for name in group.list_commands(ctx))
    return [(name, command) for name, command in pairs if command is not None and not command.hidden]


def _default(parameter: Any, ctx: Any) -> str:
    if parameter.param_type_name == "option" and parameter.is_flag:
        return ""
    default = parameter.get_default(ctx, call=False)
    if not parameter.show_default or default in (None, (), [], ""):
        return ""
    return f" [dim]\\[default: {getattr(default, 'value', default)}][/]"


def _kind(parameter: Any, ctx: Any) -> str:
    if parameter.param_type_name == "option" and (parameter.is_flag or parameter.count):
        return ""
    if parameter.metavar:
        return str(parameter.metavar)
    descriptor = getattr(parameter, "type_descriptor", None)
    choices = descriptor.choices if descriptor else None
    if choices:
        return "|".join(dict.fromkeys(str(getattr(choice, "value", choice)) for choice in choices))
    if descriptor is None:
        return str(parameter.make_metavar(ctx))
    annotation = descriptor.annotation
    names = {"str": "TEXT", "int": "INTEGER", "float": "FLOAT", "Path": "PATH"}
    name = getattr(annotation, "__name__", str(annotation)) if "[" not in str(annotation) else "str"
    return names.get(name, name.upper())


def _table() -> Table:
    return Table.grid(padding=(0, 2), expand=True)


def _panel(title: str, table: Table) -> Panel:
    width = min(out_console().width, MAX_WIDTH)
    return Panel(table, title=title, title_align="left", border_style="dim", width=width)


def _options_panel(options: Iterable[Any], ctx: Any, title: str) -> Panel:
    table = _table()
    for style in ("bold cyan", "bold green", "bold yellow", None):
        table.add_column(style=style, no_wrap=style in ("bold cyan", "bold green"))
    table.columns[-1].ratio = 1
    table.columns[2].max_width = 30
    for option in options:
        long = ",".join(name for name in option.opts if name.startswith("--"))
        short = ",".join(name for name in option.opts if not name.startswith("--"))
        table.add_row(long, short, Text(_kind(option, ctx)), (option.help or "") + _default(option, ctx))
    return _panel(title, table)


def _arguments_panel(arguments: Iterable[Any], ctx: Any) -> Panel:
    table = _table()
    for style in ("bold red", "bold cyan", "bold yellow", None):
        table.add_column(style=style)
    table.columns[-1].ratio = 1
    for argument in arguments:
        name = argument.metavar or str(argument.name).upper()
        help_text = (argument.help or "") + _default(argument, ctx)
        table.add_row(
            "*" if argument.required else "",
            name,
            Text("" if argument.metavar else _kind(argument, ctx)),
            help_text,
        )
    return _panel("Arguments", table)


def _commands_panel(commands: list[tuple[str, Any]]) -> Panel:
    table = _table()
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(ratio=1)
    for name, command in commands:
        table.add_row(name, first_paragraph(command))
    return _panel("Commands", table)


def print_help(command: Any, ctx: Any) -> None:
    """Usage, text, arguments, options and commands."""
    console = out_console()
    console.print()
    console.print(Text(" " + " ".join(command.get_usage(ctx).split()), style="bold"), soft_wrap=True)
    console.print()
    for paragraph in inspect.cleandoc(command.help or "").partition("\f")[0].split("\n\n"):
        lines = paragraph if paragraph.startswith((" ", "*", "-")) else " ".join(paragraph.split())
        console.print(" " + lines.replace("\n", "\n "), highlight=False)
        console.print()
    parameters = [
        parameter for parameter in command.get_params(ctx) if not getattr(parameter, "hidden", False)
    ]
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    if arguments:
        console.print(_arguments_panel(arguments, ctx))
    by_title: dict[str, list[Any]] = {}
    for parameter in parameters:
        if parameter.param_type_name == "option":
            by_title.setdefault(parameter.rich_help_panel or "Options", []).append(parameter)
    for title, options in by_title.items():
        console.print(_options_panel(options, ctx, title))
    if hasattr(command, "list_commands") and (commands := _visible(command, ctx)):
        console.print(_commands_panel(commands))
    if command.epilog:
        console.print(" " + command.epilog, highlight=False)
        console.print()


def _grow(tree: Tree, group: Any, ctx: Any) -> None:
    for name, command in sorted(_visible(group, ctx)):
        real = getattr(command, "loaded", command)
        label = Text(name, style="bold cyan").append(
            ": " + first_paragraph(command).split(". ")[0], style="default"
        )
        branch = tree.add(label)
        if hasattr(real, "list_commands"):
            _grow(branch, real, ctx)


def print_tree(group: Any, ctx: Any) -> None:
    """All commands below a group, with the first sentence of their help."""
    tree = Tree(Text(ctx.info_name or "jf", style="bold cyan"))
    _grow(tree, group, ctx)
    out_console().print(tree, soft_wrap=True)
