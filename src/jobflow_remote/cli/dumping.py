"""Outputs of jobs, on the screen and in files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from jobflow_remote.cli.output import dump_json, out_console

_EXTENSIONS = (".json", ".yaml", ".yml")


def check_dump_path(path: Path) -> None:
    """Refuse a file whose name does not say how to write it."""
    if path.suffix.lower() not in _EXTENSIONS:
        raise typer.BadParameter(f"{path}: the file's name should end in {', '.join(_EXTENSIONS)}")
    if not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.absolute().parent}")


def dump(value: Any, path: Path) -> None:
    """Write a value to a file, in the format that its name says."""
    text = dump_json(value)
    if path.suffix.lower() != ".json":
        import io
        import json

        from ruamel.yaml import YAML

        stream = io.StringIO()
        YAML().dump(json.loads(text), stream)
        text = stream.getvalue()
    path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")


def show(value: Any) -> None:
    """Print a value for people."""
    from rich.pretty import Pretty

    out_console().print(Pretty(value, expand_all=False))


def write_documents(documents: Iterable[Any], path: Path) -> int:
    """Write documents to a file one by one, as a list or (``.jsonl``) one a line; returns how many."""
    lines = path.suffix.lower() == ".jsonl"
    number = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("" if lines else "[")
        for document in documents:
            if not lines:
                file.write(",\n" if number else "\n")
            file.write(dump_json(document, indent=None) + ("\n" if lines else ""))
            number += 1
        file.write("" if lines else "\n]\n")
    return number
