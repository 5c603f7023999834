"""Every command of 1.0.1 and of its slides is there, with its arguments and the long and short names of its options."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.compat.command_table import (
    COMMANDS,
    DIFFERENT,
    GLOBAL,
    HIDDEN,
    LINES_OF_THE_SLIDES,
    SLIDES,
)

from jobflow_remote.cli.jf import app

PENDING: frozenset[str] = frozenset()
"""Commands under way: they may be missing, but not incomplete."""
DIFFERENCES = Path(__file__).parent / "differences.md"


def _walk(command: Any, ctx: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    yield " ".join(words), command, ctx
    if hasattr(command, "list_commands"):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            child = getattr(child, "loaded", child)
            yield from _walk(child, _context(child, name, ctx), (*words, name))


def _context(command: Any, name: str, parent: Any) -> Any:
    return typer.Context(command, info_name=name, parent=parent, **command.context_settings)


@pytest.fixture(scope="module")
def tree() -> dict[str, tuple[Any, Any]]:
    """Words → command or group, and its context."""
    root: Any = typer.main.get_command(app)
    walk = _walk(root, _context(root, "jf", None), ())
    return {words: (command, ctx) for words, command, ctx in walk}


def names_of(command: Any) -> set[frozenset[str]]:
    """The names of each option."""
    return {
        frozenset(parameter.opts) for parameter in command.params if parameter.param_type_name == "option"
    }


def missing_options(command: Any, options: str, *, but: str = "") -> list[str]:
    """Options of the table that the command lacks, or has under other names."""
    known = names_of(command) | {frozenset({"--help", "-h"})}
    return [
        option
        for option in options.split()
        if f"{but} {option.partition('/')[0]}" not in DIFFERENT
        and not any(set(option.split("/")) <= names for names in known)
    ]


def arguments_of(command: Any) -> list[tuple[bool, bool]]:
    """Of each argument: whether it must be given, and whether it takes several words."""
    return [
        (parameter.required, parameter.nargs != 1)
        for parameter in command.params
        if parameter.param_type_name == "argument"
    ]


def expected_arguments(text: str) -> list[tuple[bool, bool]]:
    """The same of the table."""
    return [(not word.startswith("["), word.rstrip("]").endswith("…")) for word in text.split()]


@pytest.mark.parametrize("words", [words for words in COMMANDS if words not in DIFFERENT])
def test_a_command_has_its_arguments_and_options(tree: dict[str, Any], words: str) -> None:
    arguments, options = COMMANDS[words]
    wrong = "it is not there"
    if words in tree:
        command, _ = tree[words]
        lacking = missing_options(command, options, but=words)
        wrong = f"it lacks {lacking}" if lacking else ""
        if not wrong and arguments_of(command) != expected_arguments(arguments):
            wrong = f"its arguments are {arguments_of(command)}"
    if words not in tree and words in PENDING:
        pytest.skip(f"under way: {wrong}")
    assert not wrong, f"jf {words}: {wrong}"


def test_options_of_jf_itself(tree: dict[str, Any]) -> None:
    root, ctx = tree[""]
    assert not missing_options(root, GLOBAL)
    everything = {name for parameter in root.get_params(ctx) for name in parameter.opts}
    assert {"--install-completion", "--show-completion", "-h", "--help"} <= everything


def test_every_group_has_a_tree_and_every_command_short_help(tree: dict[str, Any]) -> None:
    for words, (command, ctx) in tree.items():
        if hasattr(command, "list_commands") and command.list_commands(ctx):
            assert frozenset({"--tree"}) in names_of(command), words
        assert {"-h", "--help"} <= set(command.get_help_option_names(ctx)), words


def test_every_listing_and_information_is_there_for_programs(tree: dict[str, Any]) -> None:
    looking = {
        "list",
        "info",
        "report",
        "status",
        "ls",
        "explain",
        "output",
        "timeline",
        "check",
        "check-conflicts",
    }
    for words, (command, _) in tree.items():
        if words.split()[-1:] and words.split()[-1] in looking:
            assert {frozenset({"--json"}), frozenset({"--jsonl"})} <= names_of(command), words


def test_no_option_has_two_meanings(tree: dict[str, Any]) -> None:
    for words, (command, _) in tree.items():
        names = [name for parameter in command.params for name in parameter.opts]
        assert len(names) == len(set(names)), words


def test_the_tree_of_the_slides(tree: dict[str, Any]) -> None:
    lacking = {
        words
        for words in map(str.strip, SLIDES.replace("\n", " ").split(","))
        if words not in tree and words not in PENDING
    }
    assert not lacking


def test_what_the_slides_type_is_understood(tree: dict[str, Any]) -> None:
    root, _ = tree[""]
    for line in LINES_OF_THE_SLIDES.strip().splitlines():
        words = shlex.split(line)
        if "-h" in words:
            continue  # prints help and leaves
        ctx = root.make_context("jf", words)
        while hasattr(ctx.command, "list_commands"):
            name, command, rest = ctx.command.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
            ctx = command.make_context(name, rest, parent=ctx)


def test_hidden_commands_are_not_in_the_way(tree: dict[str, Any]) -> None:
    shown = {
        words for words in HIDDEN
        if words in tree and not tree[words][0].hidden and not words.startswith("execution")
    }  # fmt: skip
    assert shown <= {"job play"}  # the slides show it


def test_differences_are_listed_with_their_reasons() -> None:
    page = DIFFERENCES.read_text()
    for name, reason in DIFFERENT.items():
        assert any(f"`jf {name}`" in line and reason in line for line in page.splitlines()), name
