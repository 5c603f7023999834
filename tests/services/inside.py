"""Services elsewhere: objects of this package that live in another process, as in the namespaces of a cluster.

``python -m tests.services.inside`` makes objects and calls their methods as it is told by lines of JSON; it ends with
its input, and so does all that it started if it is the first process of its namespace.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.services.debian import ServiceMissingError


class Inside:
    """Somebody in another process who does what is asked.

    Parameters
    ----------
    command
        Starts ``python -m tests.services.inside`` there.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                start_new_session=True,
            )
        self._log = log

    def make(self, name: str, kind: str, *args: Any, **kwargs: Any) -> None:
        """Make an object there: ``kind`` is ``module:Class``; paths are passed as text."""
        self._ask({"make": name, "kind": kind, "args": args, "kwargs": kwargs})

    def call(self, name: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of an object there; its answer, if it is plain data."""
        return self._ask({"call": name, "method": method, "args": args, "kwargs": kwargs})

    def get(self, name: str, attribute: str) -> Any:
        """An attribute of an object there, if it is plain data."""
        return self._ask({"get": name, "attribute": attribute})

    def run(self, *command: str, check: bool = True, stdin: str = "") -> str:
        """What a command prints there."""
        answer: str = self._ask({"run": command, "check": check, "stdin": stdin})
        return answer

    def end(self) -> None:
        """End it and what it started."""
        with contextlib.suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write(json.dumps(question, default=str) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ServiceMissingError(f"it ended: {self._log.read_text()[-1000:]}")
        answer = json.loads(line)
        if "missing" in answer:
            raise ServiceMissingError(answer["missing"])
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]


def _answer(question: dict[str, Any], objects: dict[str, Any]) -> Any:
    match question:
        case {"make": name, "kind": kind, "args": args, "kwargs": kwargs}:
            module, _, cls = kind.partition(":")
            paths = [Path(arg) if isinstance(arg, str) and arg.startswith("/") else arg for arg in args]
            objects[name] = getattr(import_module(module), cls)(*paths, **kwargs)
            return None
        case {"call": name, "method": method, "args": args, "kwargs": kwargs}:
            return getattr(objects[name], method)(*args, **kwargs)
        case {"get": name, "attribute": attribute}:
            return getattr(objects[name], attribute)
        case {"run": command, "check": check, "stdin": stdin}:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
            if check and done.returncode:
                raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr[-1000:]}")
            return done.stdout
    raise ValueError(question)


def main() -> None:
    """Answer until nobody asks any more."""
    objects: dict[str, Any] = {}
    out = sys.stdout
    sys.stdout = sys.stderr  # what services print is not for us
    for line in sys.stdin:
        try:
            answer = {"value": _plain(_answer(json.loads(line), objects))}
        except ServiceMissingError as error:
            answer = {"missing": str(error)}
        except Exception as error:  # noqa: BLE001  # it is raised again where it was asked for
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(answer) + "\n")
        out.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    try:
        json.dumps(value)
    except TypeError:
        return None
    return value


if __name__ == "__main__":
    main()
