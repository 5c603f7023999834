"""The project files of a user: finding, reading and changing them."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jobflow_remote.config.explained import explain
from jobflow_remote.config.inuse import forget_in_use
from jobflow_remote.config.nearest import did_you_mean
from jobflow_remote.config.problems import parse_project
from jobflow_remote.config.project import ExecutionConfig, Project
from jobflow_remote.config.projectfile import (
    FORMATS,
    Document,
    back_up,
    read_document,
    without_none,
    write_document,
)
from jobflow_remote.config.projectnames import list_project_files, read_project_name
from jobflow_remote.config.settings import get_settings
from jobflow_remote.config.workers import LocalWorker, RemoteWorker, SeparatedTransferWorker
from jobflow_remote.errors import ConfigError, ProjectParsingError, ProjectUndefinedError

logger = logging.getLogger(__name__)

AnyWorker = LocalWorker | RemoteWorker | SeparatedTransferWorker


class ProjectData(NamedTuple):
    """A project and the file that it was read from."""

    filepath: Path
    project: Project
    ext: str


class WorkerData(NamedTuple):
    """A worker and its name."""

    name: str
    worker: AnyWorker


class ConfigManager:
    """Projects in the projects folder.

    A project is read when it is asked for; a broken file is in nobody's way but its own.

    Parameters
    ----------
    exclude_unset
        Write only what was set, in a new file.
    exclude_none
        Leave out keys without a value in a new file.
    warn
        Log a warning for every file that is not a valid project.
    """

    projects_ext = FORMATS

    def __init__(self, exclude_unset: bool = False, exclude_none: bool = False, warn: bool = False) -> None:
        self.exclude_unset = exclude_unset
        self.exclude_none = exclude_none
        self.warn = warn
        self.projects_folder = Path(get_settings().projects_folder)
        self._read: dict[str, ProjectData] = {}
        self._all: dict[str, ProjectData] | None = None
        if warn:
            self.load_projects_data()

    # -- reading ---------------------------------------------------------------------------------------------

    @property
    def projects_data(self) -> dict[str, ProjectData]:
        """All valid projects by name.

        Examples
        --------
        >>> ConfigManager().projects_data["mine"].ext
        'yaml'
        """
        if self._all is None:
            self._all = self.load_projects_data()
        return self._all

    @property
    def projects(self) -> dict[str, Project]:
        """All valid projects by name.

        Examples
        --------
        >>> list(ConfigManager().projects)
        ['mine']
        """
        return {name: data.project for name, data in self.projects_data.items()}

    def load_projects_data(self) -> dict[str, ProjectData]:
        """Read all files of the folder; those that are not projects are left out.

        Raises
        ------
        ConfigError
            If two files hold projects of the same name.

        Examples
        --------
        >>> list(ConfigManager().load_projects_data())
        ['mine']
        """
        found: dict[str, ProjectData] = {}
        for path, data in self.read_files():
            if isinstance(data, ProjectParsingError):
                if self.warn:
                    logger.warning("%s is not a valid project: %s", path, data)
                continue
            name = data.project.name
            if name in found:
                raise _two_files(name, [found[name].filepath, path])
            found[name] = data
        return found

    def read_files(self) -> list[tuple[Path, ProjectData | ProjectParsingError]]:
        """Each file of the folder, with its project or with what is wrong with it.

        Examples
        --------
        >>> [path.name for path, found in ConfigManager().read_files()]
        ['mine.yaml']
        """
        result: list[tuple[Path, ProjectData | ProjectParsingError]] = []
        for path in list_project_files(self.projects_folder):
            try:
                result.append((path, self._parse(path)))
            except ProjectParsingError as exc:
                result.append((path, exc))
        return result

    def project_names_from_files(self, *, suppress_warnings: bool = False) -> tuple[list[str], list[str]]:
        """Names in the files of the folder, valid or not, and the files without a readable name.

        Examples
        --------
        >>> ConfigManager().project_names_from_files()
        (['mine'], [])
        """
        names: list[str] = []
        erroneous: list[str] = []
        for path in list_project_files(self.projects_folder):
            try:
                names.append(read_project_name(path))
            except ProjectParsingError as exc:
                erroneous.append(str(path))
                if self.warn and not suppress_warnings:
                    logger.warning("%s", exc)
        return names, erroneous

    def select_project_name(self, project_name: str | None = None) -> str:
        """Name of the project to use: the given one, else that of the settings, else the only one.

        Raises
        ------
        ProjectUndefinedError
            If there is none, or several to choose from.

        Examples
        --------
        >>> ConfigManager().select_project_name()
        'mine'
        """
        name = project_name or get_settings().project
        if name:
            return name
        names = sorted(set(self.project_names_from_files(suppress_warnings=True)[0]))
        if len(names) > 1:
            names = sorted(self.projects_data)  # perhaps all others are broken
        if len(names) == 1:
            return names[0]
        if not names:
            raise ProjectUndefinedError(
                f"there is no project in {self.projects_folder}",
                hint="jf project generate NAME makes one that works at once",
            )
        raise ProjectUndefinedError(
            f"several projects to choose from: {', '.join(names)}",
            hint="choose one with -p NAME, or set JFREMOTE_PROJECT",
        )

    def get_project_data(self, project_name: str | None = None) -> ProjectData:
        """A project and its file.

        Raises
        ------
        ProjectUndefinedError
            If none is named and none can be chosen.
        ProjectParsingError
            If no file has a project of this name, or the file is not valid.

        Examples
        --------
        >>> ConfigManager().get_project_data("mine").filepath.name
        'mine.yaml'
        """
        name = self.select_project_name(project_name)
        if name not in self._read:
            self._read[name] = self._find(name)
        return self._read[name]

    def get_project(self, project_name: str | None = None) -> Project:
        """A project; errors as for :meth:`get_project_data`.

        Examples
        --------
        >>> list(ConfigManager().get_project("mine").workers)
        ['local_shell']
        """
        return self.get_project_data(project_name).project

    def _find(self, name: str) -> ProjectData:
        others: list[str] = []
        candidates: list[Path] = []
        for path in list_project_files(self.projects_folder):
            try:
                found = read_project_name(path)
            except ProjectParsingError as exc:
                others.append(path.stem)
                if path.stem == name:
                    raise exc from None
                continue
            others.append(found)
            if found == name:
                candidates.append(path)
        if not candidates:
            raise ProjectParsingError(
                f"there is no project {name!r} in {self.projects_folder}" + did_you_mean(name, others),
                hint="jf project list -w shows the projects and the files that cannot be read",
            )
        return self._choose(name, candidates)

    def _choose(self, name: str, candidates: list[Path]) -> ProjectData:
        valid: list[ProjectData] = []
        error: ProjectParsingError | None = None
        for path in candidates:
            try:
                valid.append(self._parse(path))
            except ProjectParsingError as exc:
                error = exc
        if len(valid) > 1:
            raise _two_files(name, [data.filepath for data in valid])
        if valid:
            return valid[0]
        assert error is not None
        raise error

    @staticmethod
    def _parse(path: Path) -> ProjectData:
        return ProjectData(path, parse_project(read_document(path)), path.suffix.removeprefix("."))

    # -- writing ---------------------------------------------------------------------------------------------

    def dump_project(self, project_data: ProjectData, *, explained: bool = False) -> None:
        """Write a project to its file. One that exists keeps its comments and gets no defaults.

        ``explained``: a new one in YAML says what each key is for.

        Examples
        --------
        >>> from jobflow_remote.config.base import LogLevel
        >>> manager = ConfigManager()
        >>> data = manager.get_project_data("mine")
        >>> quieter = data.project.model_copy(update={"log_level": LogLevel.ERROR})
        >>> manager.dump_project(data._replace(project=quieter))
        """
        update = project_data.filepath.exists()
        data = project_data.project.model_dump(
            mode="json",
            exclude_none=self.exclude_none or project_data.ext == "toml",
            exclude_unset=self.exclude_unset or update,
        )
        comments = explain(data) if explained else None
        data = without_none(data) if project_data.ext == "toml" else data
        write_document(project_data.filepath, data, comments=comments)
        self._remember(project_data)

    def create_project(self, project: Project, ext: str = "yaml", *, explained: bool = False) -> None:
        """Write a new project and make its folders; ``explained``: in YAML it says what each key is for.

        Raises
        ------
        ConfigError
            If a project of this name, or its file, exists.

        Examples
        --------
        >>> from jobflow_remote.config import Project
        >>> ConfigManager().create_project(Project(name="second"))
        >>> sorted(ConfigManager().projects)
        ['mine', 'second']
        """
        if ext not in FORMATS:
            raise ConfigError(f"a project file can be {', '.join(FORMATS)}, not {ext!r}")
        path = self.projects_folder / f"{project.name}.{ext}"
        if project.name in self.project_names_from_files(suppress_warnings=True)[0]:
            raise ConfigError(f"a project {project.name!r} exists already in {self.projects_folder}")
        if path.exists():
            raise ConfigError(f"the file {path} exists already")
        self.dump_project(ProjectData(path, project, ext), explained=explained)
        for folder in (project.base_dir, project.tmp_dir, project.log_dir):
            os.makedirs(folder, exist_ok=True)

    def remove_project(self, project_name: str, remove_folders: bool = True) -> None:
        """Delete the file of a project, and its folder with all that is in it; nothing if it is unknown.

        Raises
        ------
        ConfigError
            If the project's folder also holds the home directory or the projects folder; nothing is deleted.

        Examples
        --------
        >>> ConfigManager().remove_project("mine", remove_folders=False)
        >>> ConfigManager().projects
        {}
        """
        names = self.project_names_from_files(suppress_warnings=True)[0]
        if project_name not in names:
            return
        data = self.get_project_data(project_name)
        base_dir = Path(data.project.base_dir)
        if remove_folders:
            self._refuse_to_remove(base_dir, data.filepath)
            shutil.rmtree(base_dir, ignore_errors=True)
        data.filepath.unlink()
        forget_in_use(project_name)
        self._read.pop(project_name, None)
        if self._all is not None:
            self._all.pop(project_name, None)

    def _refuse_to_remove(self, folder: Path, filepath: Path) -> None:
        resolved = folder.resolve()
        for precious in (Path.home(), self.projects_folder, filepath):
            if precious.resolve().is_relative_to(resolved):
                raise ConfigError(
                    f"the folder of the project, {folder}, is not removed: it also holds {precious}",
                    hint="remove the project with --keep-folders and its folders by hand",
                )

    def update_project(self, config: Mapping[str, Any], project_name: str | None = None) -> None:
        """Change a project: mappings are merged key by key, everything else is replaced.

        Raises
        ------
        ProjectParsingError
            If the result is not a valid project; the file stays as it is.

        Examples
        --------
        >>> ConfigManager().update_project({"workers": {"local_shell": {"max_jobs": 2}}}, "mine")
        >>> ConfigManager().get_project("mine").workers["local_shell"].max_jobs
        2
        """
        data = self.get_project_data(project_name)
        merged = _merge(data.project.model_dump(mode="json", exclude_unset=True), config)
        document = Document(path=str(data.filepath), data=merged, find_line=lambda location: None)
        project = parse_project(document)
        if project.name != data.project.name and project.name in self.project_names_from_files()[0]:
            raise ConfigError(f"a project {project.name!r} exists already in {self.projects_folder}")
        self._read.pop(data.project.name, None)
        if self._all is not None:
            self._all.pop(data.project.name, None)
        self.dump_project(ProjectData(data.filepath, project, data.ext))

    def backup_project(self, project_name: str | None = None) -> Path:
        """Copy the file of a project to ``<file>.bak.<N>`` beside it; returns the copy.

        Examples
        --------
        >>> ConfigManager().backup_project("mine").name
        'mine.yaml.bak.1'
        """
        return back_up(self.get_project_data(project_name).filepath)

    def _remember(self, data: ProjectData) -> None:
        self._read[data.project.name] = data
        if self._all is not None:
            self._all[data.project.name] = data

    # -- parts of a project ----------------------------------------------------------------------------------

    def set_worker(
        self, name: str, worker: AnyWorker, project_name: str | None = None, replace: bool = False
    ) -> None:
        """Add a worker; ConfigError if it exists and not ``replace``.

        Examples
        --------
        >>> from jobflow_remote.config import LocalWorker
        >>> manager = ConfigManager()
        >>> manager.set_worker("other", LocalWorker(scheduler_type="shell", work_dir="/scratch/me"), "mine")
        >>> list(manager.get_project("mine").workers)
        ['local_shell', 'other']
        """
        project = self.get_project(project_name)
        self._set_part(project, "workers", name, worker, replace=replace)

    def remove_worker(self, worker_name: str, project_name: str | None = None) -> None:
        """Remove a worker if it exists.

        Examples
        --------
        >>> manager = ConfigManager()
        >>> manager.remove_worker("local_shell", "mine")
        >>> manager.get_project("mine").workers
        {}
        """
        self._remove_part(self.get_project(project_name), "workers", worker_name)

    def get_worker(self, worker_name: str, project_name: str | None = None) -> WorkerData:
        """A worker and its name; ConfigError if there is none of this name.

        Examples
        --------
        >>> ConfigManager().get_worker("local_shell").worker.scheduler_type
        'shell'
        """
        project = self.get_project(project_name)
        return WorkerData(worker_name, _part(project, "workers", worker_name))

    def set_exec_config(
        self,
        exec_config_name: str,
        exec_config: ExecutionConfig,
        project_name: str | None = None,
        replace: bool = False,
    ) -> None:
        """Add an execution configuration; ConfigError if it exists and not ``replace``.

        Examples
        --------
        >>> from jobflow_remote.config.base import ExecutionConfig
        >>> manager = ConfigManager()
        >>> manager.set_exec_config("vasp", ExecutionConfig(modules=["vasp/6.4.3"]), "mine")
        >>> manager.get_exec_config("vasp").modules
        ['vasp/6.4.3']
        """
        project = self.get_project(project_name)
        self._set_part(project, "exec_config", exec_config_name, exec_config, replace=replace)

    def remove_exec_config(self, exec_config_name: str, project_name: str | None = None) -> None:
        """Remove an execution configuration if it exists.

        Examples
        --------
        >>> ConfigManager().remove_exec_config("vasp", "mine")
        """
        self._remove_part(self.get_project(project_name), "exec_config", exec_config_name)

    def get_exec_config(self, exec_config_name: str, project_name: str | None = None) -> ExecutionConfig:
        """An execution configuration; ConfigError if there is none of this name.

        Examples
        --------
        >>> ConfigManager().get_exec_config("vasp")
        Traceback (most recent call last):
        jobflow_remote.errors.ConfigError: project mine has no execution configuration 'vasp'
        """
        found: ExecutionConfig = _part(self.get_project(project_name), "exec_config", exec_config_name)
        return found

    def set_jobstore(self, jobstore: Any, project_name: str | None = None) -> None:
        """Set the output store: a JobStore, or its description.

        Examples
        --------
        >>> manager = ConfigManager()
        >>> manager.set_jobstore({"docs_store": {"type": "SQLiteStore", "path": "results.db"}}, "mine")
        >>> manager.get_project("mine").jobstore["docs_store"]["path"]
        'results.db'
        """
        data = self.get_project_data(project_name)
        self._replace(data, jobstore=_as_description(jobstore))

    def set_queue_db(self, store: Any, project_name: str | None = None) -> None:
        """Set the queue database: a maggma store, or a description with a ``type``.

        Examples
        --------
        >>> manager = ConfigManager()
        >>> manager.set_queue_db({"type": "SQLiteStore", "path": "other.db"}, "mine")
        >>> manager.get_project("mine").queue.store["path"]
        'other.db'
        """
        data = self.get_project_data(project_name)
        queue = data.project.queue.model_dump(mode="json", exclude_unset=True)
        self._replace(data, queue={**queue, "store": _as_description(store)})

    def _set_part(self, project: Project, kind: str, name: str, value: Any, *, replace: bool) -> None:
        parts = {**getattr(project, kind)}
        if name in parts and not replace:
            raise ConfigError(f"project {project.name} has a {_WORDS[kind]} {name!r} already")
        data = self.get_project_data(project.name)
        dumped = {key: part.model_dump(mode="json", exclude_unset=True) for key, part in parts.items()}
        dumped[name] = value.model_dump(mode="json", exclude_unset=True)
        self._replace(data, **{kind: dumped})

    def _remove_part(self, project: Project, kind: str, name: str) -> None:
        data = self.get_project_data(project.name)
        dumped = data.project.model_dump(mode="json", exclude_unset=True)
        if dumped.get(kind, {}).pop(name, None) is not None:
            self._replace(data, **{kind: dumped[kind]})

    def _replace(self, data: ProjectData, **parts: Any) -> None:
        whole = {**data.project.model_dump(mode="json", exclude_unset=True), **parts}
        document = Document(path=str(data.filepath), data=whole, find_line=lambda location: None)
        self.dump_project(ProjectData(data.filepath, parse_project(document), data.ext))


_WORDS = {"workers": "worker", "exec_config": "execution configuration"}


def _part(project: Project, kind: str, name: str) -> Any:
    parts: dict[str, Any] = getattr(project, kind)
    if name not in parts:
        raise ConfigError(
            f"project {project.name} has no {_WORDS[kind]} {name!r}" + did_you_mean(name, parts),
            hint=f"defined: {', '.join(parts) or 'none'}",
        )
    return parts[name]


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        present = merged.get(key)
        if isinstance(value, Mapping) and isinstance(present, Mapping):
            merged[key] = _merge(present, value)
        else:
            merged[key] = value
    return merged


def _as_description(store: Any) -> dict[str, Any]:
    description: dict[str, Any] = dict(store) if isinstance(store, Mapping) else store.as_dict()
    return description


def _two_files(name: str, paths: list[Path]) -> ConfigError:
    return ConfigError(
        f"two files hold a project called {name!r}: {' and '.join(str(path) for path in paths)}",
        hint="give one of them another `name`, or move it away",
    )
