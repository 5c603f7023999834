"""What the listings need of a project, read without pydantic and the YAML reader. Standard library only.

Reading a project file properly costs more CPU than the listing itself. So what is needed of it is kept in a
private file (0600) in the projects folder, and believed as long as the project file is the same (time, size,
inode) and this package too. It holds no secrets: of a project whose queue database may have a password only
the name is kept, and the file is read each time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow_remote.config.projectnames import list_project_files, read_project_name
from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.config.settings import get_settings
from jobflow_remote.errors import ProjectParsingError

if TYPE_CHECKING:
    from jobflow_remote.config.project import Project

_FORMAT = 1
_FILE = os.path.join(".cache", "projects.json")
_SETTLING_NS = 100_000_000
"""A file that was written so shortly before it was read may change again without changing its time."""
_WITHOUT_SECRETS = frozenset({"SQLiteStore"})
"""Queue databases whose options may be kept."""
_MONGO_WITHOUT_SECRETS = frozenset({"host", "port", "database", "collection_name", "key"})
"""Options of a ``MongoStore`` that may be kept, if it has no others: nobody logs in there."""


@dataclass(frozen=True, slots=True)
class WorkerSummary:
    """A worker, as far as listings care."""

    name: str
    type: str
    scheduler: str
    work_dir: str
    is_local: bool
    is_batch: bool
    max_jobs: int | None


@dataclass(frozen=True, slots=True)
class ProjectSnapshot:
    """A project, as far as listings and the daemon's status care. No secrets, except in ``queue_spec``."""

    name: str
    filepath: str
    base_dir: str
    tmp_dir: str
    log_dir: str
    daemon_dir: str
    log_level: str
    queue_spec: QueueSpec
    workers: tuple[WorkerSummary, ...]
    exec_configs: tuple[str, ...]
    optional_jobstores: tuple[str, ...]
    has_interactive_workers: bool

    @property
    def worker_names(self) -> tuple[str, ...]:
        """Names of the workers, in the order of the file."""
        return tuple(worker.name for worker in self.workers)


def load_snapshot(project_name: str | None = None) -> ProjectSnapshot:
    """The project of this name, else that of the settings, else the only one there is.

    Raises
    ------
    ProjectUndefinedError, ProjectParsingError, ConfigError
        As :meth:`~jobflow_remote.config.manager.ConfigManager.get_project_data`.
    """
    cache = _Cache(get_settings().projects_folder)
    path = _find_file(cache, project_name)
    if path is not None:
        known = cache.snapshot(path)
        if known is not None:
            return known
    from jobflow_remote.config.manager import ConfigManager

    key = None if path is None else file_key(path)
    data = ConfigManager().get_project_data(project_name)
    snapshot = take_snapshot(data.project, data.filepath)
    if path == data.filepath and key is not None:
        cache.keep(path, key, snapshot)
    return snapshot


def select_project_file(project_name: str | None = None) -> tuple[str, Path] | None:
    """Name and file of the project that would be used, reading as little as possible; None: not certain."""
    cache = _Cache(get_settings().projects_folder)
    path = _find_file(cache, project_name)
    if path is None:
        return None
    cache.save()
    return cache.names()[path], path


def list_project_names() -> list[str]:
    """Names in the files of the projects folder, whether they are valid projects or not."""
    return sorted(set(_Cache(get_settings().projects_folder).names().values()))


def take_snapshot(project: Project, filepath: str | os.PathLike[str]) -> ProjectSnapshot:
    """The snapshot of a project that has been read."""
    workers = tuple(
        WorkerSummary(
            name=name,
            type=worker.type,
            scheduler=worker.scheduler_name,
            work_dir=str(worker.work_dir),
            is_local=worker.is_local,
            is_batch=worker.is_batch,
            max_jobs=worker.max_jobs,
        )
        for name, worker in project.workers.items()
    )
    return ProjectSnapshot(
        name=project.name,
        filepath=os.fspath(filepath),
        base_dir=project.base_dir,
        tmp_dir=project.tmp_dir,
        log_dir=project.log_dir,
        daemon_dir=project.daemon_dir,
        log_level=project.log_level.value,
        queue_spec=project.queue_spec(),
        workers=workers,
        exec_configs=tuple(project.exec_config),
        optional_jobstores=tuple(project.optional_jobstores or ()),
        has_interactive_workers=project.has_interactive_workers,
    )


def file_key(path: str | os.PathLike[str]) -> str | None:
    """Something that changes whenever the file does; None if it is gone or was written only just now."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if time.time_ns() - status.st_mtime_ns < _SETTLING_NS:
        return None
    return f"{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_size}-{status.st_ino}"


def _find_file(cache: _Cache, project_name: str | None) -> Path | None:
    """File of the project to use, if exactly one can be meant."""
    name = project_name or get_settings().project
    names = cache.names()
    if not name:
        distinct = set(names.values())
        if len(distinct) != 1:
            return None
        name = distinct.pop()
    paths = [path for path, found in names.items() if found == name]
    return paths[0] if len(paths) == 1 else None


class _Cache:
    """The private file. Writers replace it as a whole; what gets lost, the next reader finds out again."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.path = os.path.join(folder, _FILE)
        self.validity = [_code_version(), folder, os.path.expanduser("~")]
        self.files: dict[str, dict[str, Any]] = self._load()
        self.changed = False
        self._names: dict[Path, str] | None = None

    def names(self) -> dict[Path, str]:
        """Name of the project in each file of the folder that has one."""
        if self._names is None:
            found = {path: self._name(path) for path in list_project_files(self.folder)}
            self._names = {path: name for path, name in found.items() if name is not None}
        return self._names

    def _name(self, path: Path) -> str | None:
        key = file_key(path)
        entry = self.files.get(path.name)
        if entry is not None and key is not None and entry.get("key") == key:
            known: str | None = entry.get("name")
            return known
        try:
            name = read_project_name(path)
        except ProjectParsingError:
            name = None
        if key is not None:
            self.files[path.name] = {"key": key, "name": name}
            self.changed = True
        return name

    def snapshot(self, path: Path) -> ProjectSnapshot | None:
        """What is known of the project in a file, if it is still true."""
        entry = self.files.get(path.name, {})
        if entry.get("snapshot") is None or entry.get("key") != file_key(path):
            return None
        try:
            return _from_json(entry["snapshot"], path)
        except (KeyError, TypeError):
            return None

    def keep(self, path: Path, key: str, snapshot: ProjectSnapshot) -> None:
        """Remember a snapshot of the file as it was when ``key`` was taken, before reading."""
        entry: dict[str, Any] = {"key": key, "name": snapshot.name}
        if _may_be_kept(snapshot.queue_spec):
            entry["snapshot"] = asdict(snapshot)
        if self.files.get(path.name) != entry:
            self.files[path.name] = entry
            self.changed = True
        self.save()

    def save(self) -> None:
        """Write what has changed; a folder that cannot be written to costs time only."""
        if not self.changed:
            return
        present = {path.name for path in list_project_files(self.folder)}
        files = {name: entry for name, entry in self.files.items() if name in present}
        content = {"validity": self.validity, "files": files}
        draft = f"{self.path}.{os.getpid()}.tmp"
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            with open(
                os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as file:
                json.dump(content, file)
            os.replace(draft, self.path)
        except OSError:
            return
        self.changed = False

    def _load(self) -> dict[str, dict[str, Any]]:
        try:
            with open(self.path, encoding="utf-8") as file:
                status = os.fstat(file.fileno())
                if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                    return {}  # not written by us: somebody else could have us open another database
                content = json.load(file)
        except (OSError, ValueError):
            return {}
        if not isinstance(content, dict) or content.get("validity") != self.validity:
            return {}
        return {name: entry for name, entry in content["files"].items() if isinstance(entry, dict)}


def _may_be_kept(spec: QueueSpec) -> bool:
    """Whether there is surely no secret among the options of a queue database."""
    if spec.kind in _WITHOUT_SECRETS:
        return True
    given = {name: value for name, value in spec.options.items() if value not in (None, "", {}, [])}
    address = str(given.get("host", ""))
    return (
        spec.kind == "MongoStore"
        and given.keys() <= _MONGO_WITHOUT_SECRETS
        and "@" not in address
        and "://" not in address
    )


def _from_json(content: Mapping[str, Any], path: Path) -> ProjectSnapshot:
    values = dict(content)
    values["filepath"] = str(path)
    values["queue_spec"] = QueueSpec(**values["queue_spec"])
    values["workers"] = tuple(WorkerSummary(**worker) for worker in values["workers"])
    for name in ("exec_configs", "optional_jobstores"):
        values[name] = tuple(values[name])
    return ProjectSnapshot(**values)


def _code_version() -> str:
    """Changes with the code that reads projects (the version in the metadata costs too much to read)."""
    here = os.path.dirname(__file__)
    stats = [
        os.stat(os.path.join(here, name)) for name in ("snapshot.py", "project.py", "workers.py", "stores.py")
    ]
    return f"{_FORMAT}-" + "-".join(f"{status.st_mtime_ns}.{status.st_size}" for status in stats)
