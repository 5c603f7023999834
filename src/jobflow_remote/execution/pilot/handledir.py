"""The folder in which runner and pilots meet, as a pilot uses it. Everything happens by renaming."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from jobflow_remote.execution.pilot.ticket import BUNDLE_SUFFIX, Ticket, parse_bundle, render_bundle

NEW, TAKEN, DEAD, REPORTS, PILOTS, STOP = "new", "taken", "dead", "reports", "pilots", "stop"
FOLDERS = (NEW, TAKEN, DEAD, REPORTS, PILOTS, STOP)
OWNER = "owner"
"""File that says which worker of which project the folder belongs to."""


SURPLUS, UNSUITED = "r", "t"
"""Why a pilot gives jobs back: it has more than enough, or no time for them."""


class FencedError(Exception):
    """This pilot was declared dead: others have its jobs by now."""


class HandleDir:
    """Claims, signs of life and reports of one pilot."""

    def __init__(self, path: str, pilot: str) -> None:
        self.path, self.pilot = path, pilot
        self.mine = os.path.join(path, TAKEN, pilot)
        self._held: dict[str, Counter[str]] = {}
        """Bundle → attempts in it that are not settled."""
        self._bundle_of: dict[str, str] = {}
        self._numbers = itertools.count()
        self._mark = f"{pilot}.{os.getpid()}"

    # -- life ------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Begin. What an earlier life of this pilot left (the scheduler may start a job anew) goes to the dead."""
        for name in FOLDERS:
            os.makedirs(os.path.join(self.path, name), mode=0o700, exist_ok=True)
        former = os.path.join(self.path, DEAD, f"{self.pilot}.{int(time.time() * 1000)}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.mine, former)
        os.mkdir(self.mine, mode=0o700)

    def beat(self, facts: dict[str, Any]) -> None:
        """Give a sign of life.

        Raises
        ------
        FencedError
            If this pilot counts as dead.
        """
        self._check_fence()
        self._write(os.path.join(PILOTS, self.pilot), json.dumps({"pilot": self.pilot, **facts}))

    def leave(self) -> None:
        """End: nothing is held any more."""
        with contextlib.suppress(OSError):
            os.rmdir(self.mine)

    def _check_fence(self) -> None:
        if not os.path.isdir(self.mine):
            raise FencedError(self.pilot)

    # -- work ------------------------------------------------------------------------------------------------

    def has_work(self) -> bool:
        """Whether there is a bundle that nobody has."""
        return any(name.endswith(BUNDLE_SUFFIX) for name in self._list(NEW))

    def claim(self) -> list[Ticket]:
        """Take the first bundle that can be had; no tickets: there is none."""
        for name in sorted(self._list(NEW)):
            if not name.endswith(BUNDLE_SUFFIX) or f"-{self._mark}.{UNSUITED}" in name:
                continue
            target = os.path.join(self.mine, name)
            try:
                os.rename(os.path.join(self.path, NEW, name), target)
            except FileNotFoundError:
                self._check_fence()
                if not os.path.exists(target):  # somebody was quicker (network file systems may say so of us)
                    continue
            tickets = self._read_bundle(target)
            self._hold(name, tickets)
            return tickets
        return []

    def _read_bundle(self, path: str) -> list[Ticket]:
        with open(path, encoding="utf-8") as file:
            return parse_bundle(file.read())

    def _hold(self, name: str, tickets: Sequence[Ticket]) -> None:
        self._held[name] = Counter(ticket.attempt for ticket in tickets)
        self._bundle_of |= {ticket.attempt: name for ticket in tickets}

    def give_back(self, kept: Sequence[Ticket], returned: Sequence[Ticket], *, kind: str = SURPLUS) -> None:
        """Let others have ``returned``; ``kept`` are all other tickets of the same bundles that are not settled.

        What is ``UNSUITED`` this pilot takes no more.
        Whenever this is cut short a job is either in one bundle in ``new``, or once or several times among our own.
        """
        names = {self._bundle_of[ticket.attempt] for ticket in returned}
        rest = [ticket for ticket in kept if self._bundle_of[ticket.attempt] in names]
        if rest:
            name = self._split_name(min(names), "k")
            self._write(os.path.join(TAKEN, self.pilot, name), render_bundle(rest))
            self._hold(name, rest)
        out = self._split_name(min(names), kind)
        self._write(os.path.join(TAKEN, self.pilot, out), render_bundle(returned))
        for name in names:
            self._drop(name)
        os.rename(os.path.join(self.mine, out), os.path.join(self.path, NEW, out))
        for ticket in returned:
            self._bundle_of.pop(ticket.attempt, None)

    def _split_name(self, name: str, kind: str) -> str:
        rank_and_time = "-".join(name.split("-", 2)[:2])
        return f"{rank_and_time}-{self._mark}.{kind}{next(self._numbers)}{BUNDLE_SUFFIX}"

    def settle(self, attempts: Iterable[str]) -> None:
        """Forget jobs whose end has been reported; a bundle without others is removed."""
        for attempt in attempts:
            name = self._bundle_of.pop(attempt, None)
            if name is None or name not in self._held:
                continue
            del self._held[name][attempt]
            if not self._held[name]:
                self._drop(name)

    def _drop(self, name: str) -> None:
        self._held.pop(name, None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.mine, name))

    # -- words -----------------------------------------------------------------------------------------------

    def report(self, events: Sequence[dict[str, Any]]) -> None:
        """Tell the runner, in one file."""
        self._check_fence()
        lines = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)
        self._write(os.path.join(REPORTS, f"{self._mark}.{next(self._numbers):08d}"), lines)

    def wanted_stops(self) -> set[str]:
        """Attempts that somebody wants to be ended."""
        return set(self._list(STOP))

    def _list(self, folder: str) -> list[str]:
        try:
            return os.listdir(os.path.join(self.path, folder))
        except FileNotFoundError:
            return []

    def _write(self, name: str, text: str) -> None:
        """A file appears as a whole or not at all."""
        path = os.path.join(self.path, name)
        folder, own = os.path.split(path)
        temporary = os.path.join(folder, f".{own}.part")
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(temporary, path)
