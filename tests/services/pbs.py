"""The look-alike of PBS for tests (:mod:`tests.services.pbslookalike`), started and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.services import pbslookalike
from tests.services.debian import run, wait_until

_COMMANDS = ("qsub", "qselect", "qstat", "qdel")


class PbsLookalike:
    """One server; its commands are in ``bin``. Jobs run as the submitting user if it is started by root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self._process: subprocess.Popen[bytes] | None = None
        self._before = ""

    @property
    def env(self) -> dict[str, str]:
        """What makes its commands those that are found."""
        return {"PATH": f"{self.bin}:{os.environ['PATH'].removeprefix(f'{self.bin}:')}"}

    def start(self) -> PbsLookalike:
        """Start it; its commands are found in this process and its children from now on."""
        self.bin.mkdir(parents=True, exist_ok=True)
        program = f"{sys.executable} -S {pbslookalike.__file__}"
        for name in _COMMANDS:
            path = self.bin / name
            path.write_text(f'#!/bin/sh\nexec {program} {name} {self.folder}/socket "$@"\n')
            path.chmod(0o755)
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*program.split(), "server", f"{self.folder}/socket", str(self.folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._before = os.environ["PATH"]
        os.environ.update(self.env)
        self._wait(answers=True)
        return self

    def set(self, **settings: int) -> None:
        """Change settings: ``max_queued``, ``slots``, ``history``."""
        run([*self._program(), "set", f"{self.folder}/socket", *(f"{k}={v}" for k, v in settings.items())])

    def _program(self) -> list[str]:
        return [sys.executable, "-S", str(pbslookalike.__file__)]

    def stop_server(self) -> None:
        """Nobody answers; jobs go on."""
        self._signal(signal.SIGUSR1)
        self._wait(answers=False)

    def start_server(self) -> None:
        """It answers again."""
        self._signal(signal.SIGUSR2)
        self._wait(answers=True)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _wait(self, *, answers: bool) -> None:
        ask = [*self._program(), "qselect", f"{self.folder}/socket"]

        def answered() -> bool:
            return subprocess.run(ask, capture_output=True, check=False).returncode == 0

        wait_until(lambda: answered() == answers, 10, f"the look-alike of PBS (see {self.folder}/server.log)")

    def stop(self) -> None:
        """End it and its jobs."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
            os.environ["PATH"] = self._before
