"""Run the examples of a page, one after the other, as a reader would: files, Python, commands.

* ``python`` blocks share their names. ``expression  # → value`` is compared with the ``repr`` of what comes out.
* ``bash`` blocks have ``jf`` commands, which must succeed, and ``export NAME=value``. ``jf runner start`` is a real
  daemon; on pages without one, what was submitted is run before something is waited for.
* Blocks that begin with ``# file: name`` are files: ``.py`` can be imported, also by jobs; others are project files.
* Blocks in other languages (``sh``, ``text``, ``yaml`` without a name) are only looked at.

``/home/me`` stands for an empty folder, with the environment of the tests in ``jobs-env``. A page that makes no project
finds one, called ``mine``.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.testing.cli import run_check_cli

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROMISE = re.compile(r"^(?P<end>.*\S)  # → (?P<value>.+)$")


@dataclass(frozen=True)
class Block:
    """An example and the line of the page that it begins at."""

    language: str
    text: str
    line: int

    @property
    def filename(self) -> str | None:
        """Name of the file that it is, if it is one."""
        found = re.match(r"# file: (\S+)\n", self.text)
        return found.group(1) if found else None


def read_blocks(page: Path, *, home: Path = Path("/home/me")) -> list[Block]:
    """The examples of a page in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            match.group(1),
            match.group(2).replace("/home/me", str(home)),
            text[: match.start()].count("\n") + 2,
        )
        for match in _BLOCK.finditer(text)
    ]


def _makes_project(block: Block) -> bool:
    return "jf project generate" in block.text or bool(re.fullmatch(r"\w+\.yaml", block.filename or ""))


@dataclass
class PageRun:
    """What happened so far."""

    page: Path
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "a_page"})
    daemon: bool = False
    checked: int = 0
    """Number of values that were compared."""
    commands: int = 0
    """Number of commands that ran."""

    def run(self) -> None:
        """All of the page."""
        blocks = read_blocks(self.page, home=self.folder)
        if not any(_makes_project(block) for block in blocks):
            run_check_cli(["project", "generate", "mine"])
        for block in blocks:
            if block.filename is not None:
                self._write(block.filename, block)
            elif block.language == "python":
                self._run_python(block)
            elif block.language == "bash":
                self._run_commands(block)

    def close(self) -> None:
        """Stop what the page started and did not stop."""
        if self.daemon:
            run_check_cli(["runner", "shutdown", "--wait"])

    def _write(self, name: str, block: Block) -> None:
        if name == "pyproject.toml":
            self._register(block)
        is_module = name.endswith(".py") or "/" in name
        path = (self.folder if is_module else Path(os.environ["JFREMOTE_PROJECTS_FOLDER"])) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")

    def _register(self, block: Block) -> None:
        """The package of the page, as if it were installed."""
        project = tomllib.loads(block.text)["project"]
        info = self.folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
        lines = [
            line
            for group, points in project["entry-points"].items()
            for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))

    def _run_python(self, block: Block) -> None:
        code = "\n" * (block.line - 1) + block.text
        lines = code.splitlines()
        for statement in ast.parse(code, str(self.page)).body:
            assert statement.end_lineno is not None
            if ".wait(" in (ast.get_source_segment(code, statement) or ""):
                self._run_jobs()
            promise = _PROMISE.match(lines[statement.end_lineno - 1])
            if promise and isinstance(statement, ast.Expr):
                expression = compile(ast.Expression(statement.value), str(self.page), "eval")
                got = repr(eval(expression, self.names))
                assert got == promise.group("value"), f"{self.page.name}:{statement.end_lineno}: it is {got}"
                self.checked += 1
            else:
                exec(compile(ast.Module([statement], []), str(self.page), "exec"), self.names)

    def _run_jobs(self) -> None:
        if not self.daemon:
            from jobflow_remote.jobs.runner import Runner

            Runner().run_all_jobs(max_seconds=60)

    def _run_jf(self, words: list[str]) -> None:
        if not any("setup_jf_plugin" in path.read_text() for path in self.folder.glob("*.py")):
            run_check_cli(words)
            return
        # what a plug-in adds to the application stays there: not in this process
        command = [str(Path(sys.executable).with_name("jf")), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stdout}{done.stderr}"

    def _run_commands(self, block: Block) -> None:
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            if not words:
                continue
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                self.monkeypatch.setenv(name, value)
                _read_settings_anew(self.monkeypatch)
                continue
            assert words[0] == "jf", f"{self.page.name}: {line} is no command of ours"
            if words[1:3] == ["runner", "start"]:
                self.daemon = True
            elif words[1:3] == ["runner", "shutdown"]:
                self.daemon = False
            elif words[1:3] == ["flow", "watch"]:
                self._run_jobs()
            self._run_jf(words[1:])
            self.commands += 1


def _read_settings_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    import jobflow_remote
    from jobflow_remote.config.settings import JobflowRemoteSettings

    monkeypatch.setattr(jobflow_remote, "SETTINGS", JobflowRemoteSettings(), raising=False)


def prepare(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> PageRun:
    """A reader with an empty home."""
    for name in list(os.environ):
        if name.upper().startswith("JFREMOTE_"):
            monkeypatch.delenv(name)
    projects = folder / ".jfremote"
    projects.mkdir()
    activate = folder / "jobs-env" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f'export PATH="{Path(sys.executable).parent}:$PATH"\n')
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("JFREMOTE_PROJECTS_FOLDER", str(projects))
    monkeypatch.setenv("JFREMOTE_CONFIG_FILE", str(folder / ".jfremote.yaml"))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    _read_settings_anew(monkeypatch)
    return PageRun(page, folder, monkeypatch)
