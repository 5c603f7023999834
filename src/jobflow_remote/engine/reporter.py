"""What a process of the runner says of itself, written beside the session: when it changed, and once in a while.

It is the heartbeat's business, so that neither a slow step nor a slow database costs the other anything.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from jobflow_remote.engine.databasewatch import DatabaseWatch
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.processes import LaneReport, ProcessReport
from jobflow_remote.queuedb.port import QueueDatabase

logger = logging.getLogger(__name__)

_CHANGED_SECONDS, _UNCHANGED_SECONDS = 10.0, 60.0
"""How long a report is left as it is: when there is news, and when there is none."""
_PACKAGES = {
    "jobflow_remote": "jobflow-remote",
    "jobflow": "jobflow",
    "maggma": "maggma",
    "pymongo": "pymongo",
    "asyncssh": "asyncssh",
}
"""Module → package; the version of what has not been imported is not looked for."""


class Reporter:
    """Of one process; the thread of the heartbeat uses it.

    Parameters
    ----------
    lanes
        Gives what the lanes do.
    """

    def __init__(self, name: str, roles: Sequence[str], lanes: Callable[[], list[LaneReport]]) -> None:
        now = utcnow()
        self.roles = tuple(roles)
        self._lanes = lanes
        self._versions: dict[str, str] = {}
        self._sent: ProcessReport | None = None
        self._sent_at = 0.0
        self._self = ProcessReport(
            name=name,
            hostname=socket.gethostname(),
            pid=os.getpid(),
            roles=self.roles,
            started_on=now,
            reported_on=now,
            python=f"{platform.python_version()} ({sys.executable})",
        )

    def report(self) -> ProcessReport:
        """What there is to say now."""
        return replace(
            self._self,
            reported_on=utcnow(),
            versions=self._find_versions(),
            lanes=tuple(self._lanes()),
        )

    def tell(self, queue: QueueDatabase, token: str, watch: DatabaseWatch, *, at_once: bool = False) -> None:
        """Write the report if it is time to; what goes wrong is no reason for the heart to stop."""
        age = time.monotonic() - self._sent_at
        if not at_once and self._sent is not None and age < _CHANGED_SECONDS:
            return
        report = self.report()
        unchanged = self._sent == replace(report, reported_on=self._sent.reported_on) if self._sent else False
        if unchanged and not at_once and age < _UNCHANGED_SECONDS:
            return
        try:
            watch.call(queue.report_process, token, report.name, report.to_document())
        except JobflowRemoteError as error:
            logger.debug("cannot tell what this process does: %s", error.message)
            return
        self._sent, self._sent_at = report, time.monotonic()

    def _find_versions(self) -> Mapping[str, str]:
        for module, package in _PACKAGES.items():
            if module in sys.modules and module not in self._versions:
                try:
                    self._versions[module] = version(package)
                except PackageNotFoundError:
                    self._versions[module] = "?"
        return dict(self._versions)
