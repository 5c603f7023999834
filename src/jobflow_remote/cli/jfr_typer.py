"""The Typer class of ``jf``. Start-up costs what the command that was typed needs, and no more.

* A group knows the names of its commands and builds the options of one when that one is used
  (:class:`LazyCommands`).
* Values are converted here for the plain types: the conversion of recent Typer versions imports pydantic,
  which costs as much as the rest of the start-up together.
* Help is drawn by :mod:`.help`: Typer's own imports a Markdown parser.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from enum import Enum
from importlib import import_module
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command as build_command

EPILOG = "Run [bold]jf -h[/] for the global options, such as [bold]-p[/] to choose the project."
_F = TypeVar("_F", bound=Callable[..., Any])


# -- values ----------------------------------------------------------------------------------------


def _convert_enum(kind: type[Enum], text: Any) -> Enum:
    for candidate in (text, str(text).upper(), str(text).lower()):
        try:
            return kind(candidate)
        except ValueError:
            continue
    raise ValueError(f"{text!r} is not one of {', '.join(str(member.value) for member in kind)}")


def _converter(parameter: Any) -> Callable[[Any], Any] | None:
    """Function for one value of a parameter; None where Typer has to do it."""
    if getattr(parameter, "is_flag", False):
        return None
    info, annotation = parameter.type_descriptor.parameter_info, parameter.type_descriptor.annotation
    if get_origin(annotation) is list:
        annotation = get_args(annotation)[0]
    if info.parser is not None:
        return info.parser  # type: ignore[no-any-return]
    if info.min is not None or info.max is not None:
        return None
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return functools.partial(_convert_enum, annotation)
    if annotation is int:
        return _convert_int
    return str if annotation is str else None


def _convert_int(value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a whole number") from None


def _process_value(parameter: Any, fallback: Callable[..., Any], ctx: Any, value: Any) -> Any:
    several = bool(getattr(parameter, "multiple", False)) or parameter.nargs == -1
    missing = value is None or (several and not value)
    convert = _converter(parameter)
    if (missing and parameter.required) or (not missing and convert is None):
        return fallback(ctx, value)
    if missing:
        value = () if several else None
    else:
        assert convert is not None
        try:
            value = [convert(item) for item in value] if several else convert(value)
        except ValueError as exc:
            raise typer.BadParameter(str(exc), ctx=ctx, param=parameter) from None
    return parameter.callback(ctx, parameter, value) if parameter.callback else value


class _QuickOption(TyperOption):
    def process_value(self, ctx: Any, value: Any) -> Any:
        return _process_value(self, super().process_value, ctx, value)


class _QuickArgument(TyperArgument):
    def get_usage_pieces(self, ctx: Any) -> list[str]:
        """``NAME``, ``[NAME]`` if it may be left out: recent Typer versions put braces around the former."""
        name = self.metavar or str(self.name).upper()
        if self.nargs != 1 and not name.endswith("…"):
            name += "…"
        return [name if self.required else f"[{name}]"]

    def process_value(self, ctx: Any, value: Any) -> Any:
        return _process_value(self, super().process_value, ctx, value)


def _quicken(parameters: list[Any]) -> None:
    """Give parameters the cheap conversion; those of older Typer versions are cheap already."""
    for parameter in parameters:
        if hasattr(parameter, "type_descriptor"):
            if type(parameter) is TyperOption:
                parameter.__class__ = _QuickOption
            elif type(parameter) is TyperArgument:
                parameter.__class__ = _QuickArgument


# -- commands and groups ---------------------------------------------------------------------------


class LazyCommands(MutableMapping[str, Any]):
    """Commands of a group by name, each built when it is asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self._makers = dict(makers)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._makers[name] = lambda: command
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._makers[name]
        self._made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class JFCommand(TyperCommand):
    """A command that starts quickly."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn words into values."""
        _quicken(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        from jobflow_remote.cli.help import print_help

        print_help(self, ctx)


class JFGroup(TyperGroup):
    """A group of commands that starts quickly."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn words into values."""
        _quicken(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        from jobflow_remote.cli.help import print_help

        print_help(self, ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words after the name of the group."""
        pieces = super().collect_usage_pieces(ctx)
        return pieces if self.commands else pieces[:-1]


class Deferred(JFGroup):
    """Stands for a group whose module is imported when it is used; its help line is known before."""

    def __init__(self, name: str, help: str, module: str, *, hidden: bool = False) -> None:
        super().__init__(name=name, help=help, hidden=hidden)
        self._module = module

    @functools.cached_property
    def loaded(self) -> Any:
        """The real group or command."""
        real = build_lazily(import_module(self._module).app)
        real.name = self.name
        return real

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments with the real one, which then is what the context runs."""
        return self.loaded.make_context(info_name, args, parent=parent, **extra)


def build_lazily(app: typer.Typer) -> Any:
    """The group of a Typer application, without building its commands; or its command, if it is no group."""
    commands, groups = app.registered_commands, app.registered_groups
    if not app.registered_callback:
        return build_command(app)
    makers = {_name_of(info): functools.partial(_build_alone, app, commands=[info]) for info in commands}
    for names, module in getattr(app, "left_for_later", ()):
        makers |= {name: functools.partial(_build_from, module, name) for name in names}
    for info in groups:
        if info.typer_instance is not None:
            name = info.name if isinstance(info.name, str) else info.typer_instance.info.name
            makers[str(name)] = functools.partial(build_lazily, info.typer_instance)
    group = _build_alone(app)
    group.commands = LazyCommands(makers)
    return group


def _build_from(module: str, name: str) -> Any:
    """A command or group that the ``register`` function of a module adds."""
    app = JFRTyper()
    import_module(module).register(app)
    return build_lazily(app).commands[name]


def _name_of(info: Any) -> str:
    return str(info.name or info.callback.__name__.lower().replace("_", "-"))


def _build_alone(app: typer.Typer, commands: Any = ()) -> Any:
    part = copy.copy(app)
    part.registered_commands, part.registered_groups = list(commands), []
    if commands:
        part.registered_callback = None
        part.info = copy.copy(app.info)
        part.info.callback = None
    part._add_completion = False
    return build_command(part)


# -- bundles of options ----------------------------------------------------------------------------


class OptionBundle:
    """Options that belong together, as the fields of a dataclass: a command takes them as one argument.

    Each field is ``Annotated[type, typer.Option(...)]`` with a default; the help shows them one by one.
    """


JSON_LINES = inspect.Parameter(
    "json_lines",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool, typer.Option("--jsonl", help="As --json, one object a line.", show_default=False)
    ],
)


def _is_json_option(hint: Any) -> bool:
    """Whether a parameter is the flag ``--json``."""
    kind, *more = get_args(hint) if get_origin(hint) is Annotated else (None,)
    # within Annotated, Typer takes the first name for the default and sorts it out later
    names = [(getattr(each, "default", None), *(getattr(each, "param_decls", None) or ())) for each in more]
    return kind is bool and any("--json" in each for each in names)


def _expand_bundles(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the same behaviour whose bundles are spelt out, for Typer to read.

    One that takes ``--json`` takes ``--jsonl`` as well.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters: list[inspect.Parameter] = []
    bundles: dict[str, tuple[type, list[str]]] = {}
    json_name: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        kind = hints.get(parameter.name)
        if isinstance(kind, type) and issubclass(kind, OptionBundle):
            members = _members(kind)
            bundles[parameter.name] = (kind, [member.name for member in members])
            parameters.extend(members)
            continue
        parameters.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
        if _is_json_option(kind):
            json_name = parameter.name
            parameters.append(JSON_LINES)
    if not bundles and json_name is None:
        return function

    @functools.wraps(function)
    def expanded(**values: Any) -> Any:
        for name, (kind, members) in bundles.items():
            values[name] = kind(**{member: values.pop(member) for member in members})
        if json_name is None or not values.pop(JSON_LINES.name):
            return function(**values)
        from jobflow_remote.cli.output import json_lines

        with json_lines():
            return function(**{**values, json_name: True})

    del expanded.__wrapped__
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded


def _members(bundle: type[OptionBundle]) -> list[inspect.Parameter]:
    fields = get_type_hints(bundle, include_extras=True)
    return [
        inspect.Parameter(
            member.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=member.default,
            annotation=fields[member.name],
        )
        for member in dataclasses.fields(bundle)  # type: ignore[arg-type]
    ]


# -- the application class -------------------------------------------------------------------------


def _show_tree(ctx: typer.Context, value: bool) -> None:
    if value:
        from jobflow_remote.cli.help import print_tree

        print_tree(ctx.command, ctx)
        raise typer.Exit


TreeOption = Annotated[
    bool,
    typer.Option(
        "--tree",
        help="Show the commands as a tree, and exit.",
        is_eager=True,
        callback=_show_tree,
        show_default=False,
    ),
]


def _only_tree(tree: TreeOption = False) -> None:
    """Take the options that every group has."""


class JFRTyper(typer.Typer):
    """A Typer application that looks and behaves like the rest of ``jf``; plug-ins use it too.

    Every group has ``--tree`` and ``-h``, prints its help when called without a command, and its commands may
    take an :class:`OptionBundle` as an argument. Errors are caught in one place, at the root.
    """

    def __init__(self, *, callback: Callable[..., Any] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("cls", JFGroup)
        kwargs.setdefault("no_args_is_help", True)
        kwargs.setdefault("epilog", EPILOG)
        kwargs.setdefault("rich_markup_mode", "rich")
        kwargs.setdefault("add_completion", False)
        kwargs.setdefault("pretty_exceptions_enable", False)
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(**kwargs)
        self.left_for_later: list[tuple[tuple[str, ...], str]] = []
        """Names of commands and groups, and the module whose ``register`` adds them when one of them is used."""
        self.callback()(callback or _only_tree)

    def callback(self, *args: Any, **kwargs: Any) -> Callable[[_F], _F]:
        """Register what runs before any command, or, with ``invoke_without_command``, instead of one."""
        if kwargs.get("invoke_without_command"):
            kwargs.setdefault("no_args_is_help", False)
            # it is a command of its own: its options may stand after its arguments
            kwargs.setdefault(
                "context_settings", {"help_option_names": ["-h", "--help"], "allow_interspersed_args": True}
            )
        register = super().callback(*args, **kwargs)

        def decorate(function: _F) -> _F:
            register(_expand_bundles(function))
            return function

        return decorate

    def command(self, name: str | None = None, **kwargs: Any) -> Callable[[_F], _F]:
        """Register a function as a command."""
        kwargs.setdefault("cls", JFCommand)
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        register = super().command(name, **kwargs)

        def decorate(function: _F) -> _F:
            register(_expand_bundles(function))
            return function

        return decorate
