"""Upgrades of the queue database, with the names of jobflow-remote 1.0.1; ``jf admin upgrade`` is the usual way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from packaging.version import Version
from packaging.version import parse as parse_version

from jobflow_remote.control import upgrade as control
from jobflow_remote.errors import NotAllowedError, QueueDatabaseError
from jobflow_remote.jobs.data import DbCollection
from jobflow_remote.jobs.jobcontroller import JobController

UpgradeFunction = Callable[[JobController], Sequence["UpgradeAction"]]


class UpgradeRequiredError(QueueDatabaseError):
    """An older release wrote the queue database."""


@dataclass
class UpgradeAction:
    """Something that an upgrade does."""

    description: str
    collection: str
    action_type: str
    details: dict[str, Any]
    required: bool = False


@dataclass
class UpgradeCondition:
    """Something that has to hold before an upgrade."""

    description: str
    check_func: Callable[[JobController], bool]
    skippable: bool = False


@dataclass
class NoDocumentsIn:
    """A check: no document of a collection matches."""

    collection: DbCollection
    query: Mapping[str, Any]

    def __call__(self, job_controller: JobController) -> bool:
        """Whether there is none."""
        return job_controller.get_collection(self.collection).find_one(dict(self.query)) is None


class DatabaseUpgrader:
    """Bring the queue database of a project up to date.

    The documents of all older releases are brought to those of this release in one go. Beside that, plug-ins may
    register functions for versions: they are called, in order, after it.
    """

    registered_upgrades: ClassVar[dict[Version, UpgradeFunction]] = {}
    _conditions: ClassVar[dict[Version, Sequence[UpgradeCondition]]] = {}

    def __init__(self, job_controller: JobController) -> None:
        self.job_controller = job_controller
        self.current_version = parse_version(control.our_version())

    @classmethod
    def register_upgrade(
        cls, version: str, upgrade_conditions: Sequence[UpgradeCondition] | None = None
    ) -> Callable[[UpgradeFunction], UpgradeFunction]:
        """Decorate a function that does what is to be done for a version; it tells what it has done."""

        def register(function: UpgradeFunction) -> UpgradeFunction:
            cls.registered_upgrades[parse_version(version)] = function
            cls._conditions[parse_version(version)] = tuple(upgrade_conditions or ())
            return function

        return register

    def collect_upgrades(self, from_version: Version, to_version: Version) -> list[Version]:
        """Registered versions after the first and up to the second one."""
        return sorted(version for version in self.registered_upgrades if from_version < version <= to_version)

    def check_upgrade_conditions(self, versions: Sequence[Version], force: bool = False) -> list[str]:
        """What is in the way."""
        plan = self._plan()
        found = plan.blocked_by(force=force) if plan else []
        conditions = [condition for version in versions for condition in self._conditions.get(version, ())]
        return found + [
            condition.description
            for condition in conditions
            if not (force and condition.skippable) and not condition.check_func(self.job_controller)
        ]

    def dry_run(
        self, from_version: str | None = None, target_version: str | None = None, force: bool = False
    ) -> tuple[list[UpgradeAction], list[str]]:
        """What would be done, and what is in the way. Nothing is changed."""
        plan = self._plan()
        actions = [
            UpgradeAction(action.what, "queue", "upgrade", {"number": action.number}, required=True)
            for action in (plan.actions if plan else ())
        ]
        versions = self._versions(from_version, target_version)
        actions += [
            UpgradeAction(f"what is registered for {each}", "queue", "plug-in", {}) for each in versions
        ]
        return actions, self.check_upgrade_conditions(versions, force)

    def upgrade(
        self, from_version: str | None = None, target_version: str | None = None, force: bool = False
    ) -> bool:
        """Do it. Returns whether there was something to do.

        Raises
        ------
        NotAllowedError
            If something is in the way.
        """
        versions = self._versions(from_version, target_version)
        blocked = self.check_upgrade_conditions(versions, force)
        if blocked:
            raise NotAllowedError(f"the database cannot be upgraded now: {'; '.join(blocked)}")
        plan = self._plan()
        if plan is not None:
            services = self.job_controller._needs_project()
            control.upgrade(services, plan, force=force, report=lambda done, total: None)
        for version in versions:
            self.registered_upgrades[version](self.job_controller)
        return plan is not None or bool(versions)

    def _plan(self) -> control.UpgradePlan | None:
        return control.plan_upgrade(
            self.job_controller.queue, self.job_controller._needs_project().daemon_dir
        )

    def _versions(self, from_version: str | None, target_version: str | None) -> list[Version]:
        first = parse_version(from_version) if from_version else self.job_controller.get_current_db_version()
        last = parse_version(target_version) if target_version else self.current_version
        return self.collect_upgrades(first, last)
