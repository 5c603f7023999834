"""The project that ``jf quickstart`` makes: everything in one folder, no server."""

from __future__ import annotations

import os

from jobflow_remote.config.base import LocalWorker, Project
from jobflow_remote.config.manager import ConfigManager
from jobflow_remote.errors import ConfigError

PROJECT, WORKER = "local", "local"


def ensure_project(manager: ConfigManager) -> tuple[Project, bool]:
    """The project ``local``, made if there is none; and whether it was made.

    Raises
    ------
    ConfigError
        If a project of that name exists and has no worker that this example could use.
    """
    names = manager.project_names_from_files(suppress_warnings=True)[0]
    if PROJECT not in names:
        base_dir = os.path.join(str(manager.projects_folder), PROJECT)
        worker = LocalWorker(type="local", scheduler_type="shell", work_dir=os.path.join(base_dir, "runs"))
        project = Project(name=PROJECT, workers={WORKER: worker})
        manager.create_project(project, ext="yaml")
        return project, True
    project = manager.get_project(PROJECT)
    usable_worker(project)
    return project, False


def usable_worker(project: Project) -> str:
    """Name of a worker of the project on which the example can run."""
    for name, worker in project.workers.items():
        if worker.is_local and worker.scheduler_type == "shell" and not worker.is_batch:
            return str(name)
    raise ConfigError(
        f"the project {project.name!r} exists and has no local worker with the shell scheduler",
        hint="add one to it, or set JFREMOTE_PROJECTS_FOLDER to an empty folder for `jf quickstart`",
    )
