"""What people asked for and what became of it: each change is a task for a thread, while pages show how far it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from jobflow_remote.errors import JobflowRemoteError

logger = logging.getLogger(__name__)

_KEPT = 50
_TOLD = 20
"""How many messages are told one by one."""
_ACCOUNTED = 500
"""Of how many jobs is told what became of each; refusals come first."""


@dataclass
class Task:
    """One request."""

    title: str
    back: str
    """Address of the page that it was asked for on."""
    total: int = 0
    done: int = 0
    changed: int = 0
    refused: int = 0
    messages: list[str] = field(default_factory=list)
    done_jobs: list[dict[str, Any]] = field(default_factory=list)
    """What became of jobs that were changed."""
    refused_jobs: list[dict[str, Any]] = field(default_factory=list)
    """Why others were not."""
    error: str | None = None
    hint: str | None = None
    key: str = field(default_factory=lambda: token_hex(8))
    ended: threading.Event = field(default_factory=threading.Event)

    def note(self, message: str) -> None:
        """Something to tell; after the first few they are only counted."""
        if len(self.messages) < _TOLD:
            self.messages.append(message)
        elif len(self.messages) == _TOLD:
            self.messages.append("… and more like these")

    def tell(self, outcome: dict[str, Any]) -> None:
        """What became of one job."""
        told = self.done_jobs if outcome["done"] else self.refused_jobs
        if len(told) < _ACCOUNTED:
            told.append(outcome)

    @property
    def account(self) -> list[dict[str, Any]]:
        """What became of jobs, those that were refused first."""
        return [*self.refused_jobs, *self.done_jobs]

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self.ended.is_set()

    def to_plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "key": self.key, "title": self.title, "total": self.total, "done": self.done, "changed": self.changed,
            "refused": self.refused, "messages": list(self.messages), "error": self.error, "hint": self.hint,
            "ended": self.is_done, "jobs": self.account,
        }  # fmt: skip


class Tasks:
    """Of one project, the latest few."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="task")
        self._lock = threading.Lock()

    def start(self, task: Task, work: Callable[[Task], None]) -> Task:
        """Begin with it."""
        with self._lock:
            self._tasks[task.key] = task
            for key in [key for key, each in self._tasks.items() if each.is_done][:-_KEPT]:
                del self._tasks[key]
        self._threads.submit(self._work, task, work)
        return task

    def get(self, key: str) -> Task | None:
        """A task that was begun not long ago."""
        return self._tasks.get(key)

    @staticmethod
    def _work(task: Task, work: Callable[[Task], None]) -> None:
        try:
            work(task)
        except JobflowRemoteError as error:
            task.error, task.hint = error.message, error.hint
        except Exception as error:
            logger.exception("%s failed", task.title)
            task.error, task.hint = f"{type(error).__name__}: {error}", "the log of `jf gui` says more"
        finally:
            task.ended.set()
