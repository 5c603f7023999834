"""Which configuration this is, and what a changed one would touch. Data in, data out; no file is read here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from jobflow_remote.config.project import Project
from jobflow_remote.config.redact import redact
from jobflow_remote.config.workers import host_key

_FIXED = ("name", "base_dir", "tmp_dir", "log_dir", "daemon_dir", "queue", "jobstore")
"""Keys by which a runner that works has opened things: another value takes effect when it is started again."""


def project_digest(project: Project) -> str:
    """Eight letters by which people tell configurations apart.

    What is not set says nothing, and neither do passwords: nobody can guess them by trying.
    """
    shown = redact(project.model_dump(mode="json", exclude_defaults=True))
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two configurations of a project."""

    added: tuple[str, ...] = ()
    """Workers."""
    removed: tuple[str, ...] = ()
    """Workers."""
    changed: tuple[str, ...] = ()
    """Workers."""
    keys: tuple[str, ...] = ()
    """Other keys of the project."""
    fixed: tuple[str, ...] = ()
    """Keys whose new values need a new runner."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.keys or self.fixed)

    @property
    def runner_options(self) -> bool:
        """Whether the runner itself is to work in another way."""
        return "runner" in self.keys

    def describe(self) -> str:
        """In a few words: ``worker +new -old ~other, exec_config``."""
        workers = [f"+{name}" for name in self.added] + [f"-{name}" for name in self.removed]
        workers += [f"~{name}" for name in self.changed]
        parts = [f"workers {' '.join(workers)}"] if workers else []
        return ", ".join([*parts, *self.keys, *self.fixed]) or "nothing"


def find_changes(old: Project, new: Project) -> Changes:
    """What is to be done when ``new`` follows ``old``."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    workers, present = before.pop("workers"), after.pop("workers")
    differing = [key for key in after if before[key] != after[key]]
    fixed = [key for key in differing if key in _FIXED]
    stores = "optional_jobstores"
    if stores in differing and not _contains(after[stores] or {}, before[stores] or {}):
        fixed.append(stores)
    return Changes(
        added=tuple(name for name in present if name not in workers),
        removed=tuple(name for name in workers if name not in present),
        changed=tuple(name for name in present if name in workers and workers[name] != present[name]),
        keys=tuple(key for key in differing if key not in fixed),
        fixed=tuple(fixed),
    )


def find_moved(old: Project, new: Project) -> tuple[str, ...]:
    """Workers that are on another machine now."""
    return tuple(
        name
        for name, worker in new.workers.items()
        if name in old.workers and host_key(worker) != host_key(old.workers[name])
    )


def _contains(stores: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether the output stores that may be open are still there, as they were."""
    return all(stores.get(name) == store for name, store in others.items())
