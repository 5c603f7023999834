"""The configuration by which a runner works, kept beside the project files while it runs.

A project file may be broken while somebody edits it. The runner goes on by the last valid one; so that it can be asked
and stopped meanwhile, and a process of it started again, it keeps a copy (0600, as a project file: it may hold
passwords), which goes when the runner does.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from jobflow_remote.config.settings import get_settings

if TYPE_CHECKING:
    from jobflow_remote.config.project import Project

_FOLDER = os.path.join(".cache", "in_use")


def _path(project_name: str) -> Path:
    return Path(get_settings().projects_folder) / _FOLDER / f"{project_name}.json"


def keep_in_use(project: Project, filepath: str | os.PathLike[str]) -> None:
    """Leave the copy; a folder that cannot be written to costs the copy only."""
    path = _path(project.name)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    content = {"file": os.fspath(filepath), "project": project.model_dump(mode="json")}
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        with open(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            json.dump(content, file)
        os.replace(draft, path)


def read_in_use(project_name: str) -> tuple[Project, Path] | None:
    """The configuration that a runner uses, and the file it came from; None if no runner left one."""
    from jobflow_remote.config.project import Project

    try:
        with open(_path(project_name), encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                return None  # not written by us
            content = json.load(file)
        return Project.model_validate(content["project"]), Path(content["file"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def names_in_use() -> list[str]:
    """Projects of which runners left copies."""
    return sorted(path.stem for path in (Path(get_settings().projects_folder) / _FOLDER).glob("*.json"))


def forget_in_use(project_name: str) -> None:
    """The runner has ended."""
    with contextlib.suppress(OSError):
        _path(project_name).unlink(missing_ok=True)
