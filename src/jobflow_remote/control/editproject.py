"""Changing the text of a project file: what would become of it is known before it is written."""

from __future__ import annotations

import difflib
import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from jobflow_remote.config.problems import parse_project
from jobflow_remote.config.project import Project
from jobflow_remote.config.projectfile import back_up, read_document, write_private
from jobflow_remote.config.revision import find_changes
from jobflow_remote.errors import ConfigError, ProjectParsingError


@dataclass(frozen=True, slots=True)
class Proposal:
    """A file, and what is to become of it."""

    path: Path
    before: str
    after: str
    problem: str | None = None
    """Why the new text is not a project."""
    needs_new_runner: tuple[str, ...] = ()
    """Keys with values that a runner which works cannot change to."""

    @property
    def changes(self) -> bool:
        """Whether there is anything to write."""
        return self.before != self.after

    def diff(self) -> str:
        """The difference in the unified form."""
        name = self.path.name
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), name, f"{name} (new)", lineterm=""
        )
        return "\n".join(lines)


def propose(path: Path, after: str) -> Proposal:
    """What a new text of a file would mean."""
    before = path.read_text(encoding="utf-8")
    try:
        project = _parse(path, after)
    except ProjectParsingError as error:
        return Proposal(path, before, after, error.message)
    try:
        fixed = find_changes(parse_project(read_document(path)), project).fixed
    except ProjectParsingError:
        fixed = ()  # it is being mended
    return Proposal(path, before, after, needs_new_runner=fixed)


def _parse(path: Path, text: str) -> Project:
    """The project of a text that is not in its file yet; messages name the file."""
    with tempfile.TemporaryDirectory(prefix="jobflow-remote-") as folder:
        draft = Path(folder) / path.name
        write_private(draft, text)
        try:
            return parse_project(read_document(draft))
        except ProjectParsingError as error:
            raise ProjectParsingError(error.message.replace(str(draft), str(path))) from None


def write(proposal: Proposal, *, backup: bool) -> Path | None:
    """Replace the file; returns the copy of the former one, if wanted.

    Raises
    ------
    ConfigError
        If somebody changed the file meanwhile; it stays as it is.
    """
    if proposal.path.read_text(encoding="utf-8") != proposal.before:
        raise ConfigError(f"{proposal.path} was changed meanwhile", hint="look at it, and do it again")
    copy = back_up(proposal.path) if backup else None
    write_private(proposal.path, proposal.after)
    return copy


class Draft:
    """A private copy of a file for an editor. Use as a context."""

    def __init__(self, path: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="jobflow-remote-")
        self.path = Path(self._folder.name) / path.name
        self.original = path
        write_private(self.path, path.read_text(encoding="utf-8"))

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def edit(self) -> Proposal:
        """Let a person edit the copy with ``$VISUAL`` or ``$EDITOR``.

        Raises
        ------
        ConfigError
            If there is no such program, or it fails.
        """
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        try:
            code = subprocess.run([*shlex.split(editor), str(self.path)], check=False).returncode
        except OSError as error:
            raise ConfigError(f"the editor {editor!r} cannot be started: {error.strerror}") from None
        if code:
            raise ConfigError(
                f"the editor {editor!r} ended with exit code {code}; the project file is as before",
                hint="EDITOR names another one",
            )
        return propose(self.original, self.path.read_text(encoding="utf-8"))
