"""Check what ``jf`` prints, in tests of plug-ins and scripts. The signature is that of jobflow-remote 1.0.1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from typer.testing import CliRunner, Result


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _as_list(texts: str | Iterable[str] | None) -> list[str]:
    return [] if texts is None else [texts] if isinstance(texts, str) else list(texts)


def run_check_cli(
    cli_args: Sequence[str],
    cli_input: str | bytes | None = None,
    cli_env: Mapping[str, str] | None = None,
    catch_exceptions: bool = False,
    required_out: str | Iterable[str] | None = None,
    excluded_out: str | Iterable[str] | None = None,
    required_out_colored: str | Iterable[str] | None = None,
    error: bool = False,
    terminal_width: int = 1000,
) -> Result:
    """Run ``jf`` within this process and check its exit code and what it printed.

    Parameters
    ----------
    cli_args
        The words after ``jf``.
    cli_input
        What is typed when it asks.
    cli_env
        Further environment variables.
    catch_exceptions
        Keep exceptions in the result instead of letting them through.
    required_out, excluded_out
        Texts that must, and must not, be in standard output or standard error; white space does not count.
    required_out_colored
        Texts that must be there with their ANSI codes.
    error
        Whether the exit code must differ from zero, rather than be zero.
    terminal_width
        Columns of the terminal.
    """
    from jobflow_remote.cli.jf import app

    environment: dict[str, Any] = {"COLUMNS": str(terminal_width), **(cli_env or {})}
    if required_out_colored is not None:
        environment["FORCE_COLOR"] = "1"
    result = CliRunner().invoke(
        app,
        list(cli_args),
        input=cli_input,
        env=environment,
        catch_exceptions=catch_exceptions,
        color=required_out_colored is not None,
    )
    printed = result.stdout + result.stderr
    assert (result.exit_code != 0) == error, f"exit code {result.exit_code}; it printed:\n{printed}"
    plain = _squeezed(re.sub(r"\x1b\[[0-9;]*m", "", printed))
    for text in _as_list(required_out):
        assert _squeezed(text) in plain, f"{text!r} is missing in:\n{printed}"
    for text in _as_list(excluded_out):
        assert _squeezed(text) not in plain, f"{text!r} should not be in:\n{printed}"
    for text in _as_list(required_out_colored):
        assert _squeezed(text) in _squeezed(printed), f"{text!r} is missing in:\n{printed!r}"
    return result
