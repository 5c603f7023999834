"""Versions and indexes, by the names of the JobController of jobflow-remote 1.0.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobflow_remote.jobs import querying
from jobflow_remote.jobs.data import DbCollection
from jobflow_remote.queuedb.port import QueueDatabase

if TYPE_CHECKING:
    from packaging.version import Version

Index = str | list[tuple[str, int]]


class Upkeep:
    """What keeps a queue database in order."""

    queue: QueueDatabase

    # -- versions ------------------------------------------------------------------------------------

    def get_current_db_version(self) -> Version:
        """The release whose documents the database has.

        Examples
        --------
        >>> jc.get_current_db_version().major
        2
        """
        from packaging.version import parse

        from jobflow_remote.control import upgrade

        return parse(upgrade.database_version(self.queue))

    def upgrade_check_jobflow(self) -> str:
        """How the version of jobflow has changed since the database was written; empty: not at all.

        Examples
        --------
        >>> jc.upgrade_check_jobflow()
        ''
        """
        return self._changes(everything=False)

    def upgrade_full_check(self) -> str:
        """How the versions of all packages have changed since the database was written; empty: not at all.

        Examples
        --------
        >>> jc.update_version_information()
        >>> jc.upgrade_full_check()
        ''
        """
        return self._changes(everything=True)

    def _changes(self, *, everything: bool) -> str:
        from jobflow_remote.control import upgrade

        recorded = upgrade.recorded_versions(self.queue, self.queue.survey_upgrade())
        return "\n".join(upgrade.compare_versions(recorded, everything=everything))

    def update_version_information(self, version: str | Version | None = None) -> None:
        """Record the versions of this installation (``version``: another one of jobflow-remote).

        Examples
        --------
        >>> jc.update_version_information()
        """
        from jobflow_remote.control import upgrade

        upgrade.note_versions(self.queue, version=None if version is None else str(version))

    # -- indexes -------------------------------------------------------------------------------------

    def build_indexes(
        self,
        background: bool = True,
        job_custom_indexes: list[Index] | None = None,
        flow_custom_indexes: list[Index] | None = None,
        drop: bool = False,
    ) -> None:
        """Build the standard indexes, and others; ``drop``: all indexes are dropped before.

        Examples
        --------
        >>> jc.build_indexes(job_custom_indexes=[[("job.name", 1), ("state", 1)]])
        """
        if drop:
            self.queue.rebuild_indexes()
        self.create_indexes(job_custom_indexes or (), DbCollection.JOBS)
        self.create_indexes(flow_custom_indexes or (), DbCollection.FLOWS)

    def create_indexes(
        self,
        indexes: Sequence[Index],
        collection: DbCollection = DbCollection.JOBS,
        unique: bool = False,
        background: bool = True,
    ) -> None:
        """Create indexes: each a field, or a list of pairs of field and direction.

        Examples
        --------
        >>> jc.create_indexes([[("job.name", 1), ("state", 1)]])
        """
        name = "auxiliary" if collection is DbCollection.AUX else collection.value
        for index in indexes:
            keys = [(index, 1)] if isinstance(index, str) else list(index)
            self.queue.create_index(name, keys, unique=unique)

    def compact(self) -> int:
        """Give the space that removed jobs left behind back to the file system; returns how many bytes.

        Examples
        --------
        >>> jc.compact() >= 0
        True
        """
        return self.queue.compact()

    # -- locks ---------------------------------------------------------------------------------------

    def unlock_flows(self, **criteria: Any) -> int:
        """Take locks from flows that an older release left behind; returns how many there were.

        >>> jc.unlock_flows()
        0
        """
        from jobflow_remote.control import unlocking

        query = querying.flow_selection(self.queue, **{**criteria, "locked": True}).to_filter()
        found = self.queue.find_flows(query, fields=["uuid"])
        return unlocking.unlock_flows(self.queue, [flow["uuid"] for flow in found])

    def unlock_runner(self) -> tuple[int, int]:
        """How many records of a runner there are, and how many were unlocked: none, since none is ever locked.

        >>> jc.unlock_runner()
        (0, 0)
        """
        return (0 if self.queue.get_session() is None else 1, 0)
