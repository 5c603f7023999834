"""A scheduler that a worker names by the path of its class."""

from __future__ import annotations

from qtoolkit.io.shell import ShellIO


class MyShellIO(ShellIO):  # type: ignore[misc]  # qtoolkit has no types
    """The shell under another name, as somebody's own scheduler would be."""
