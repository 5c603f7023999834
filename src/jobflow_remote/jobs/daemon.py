"""Import path of jobflow-remote 1.0.1."""

from jobflow_remote.daemon.manager import DaemonManager, DaemonStatus
from jobflow_remote.errors import DaemonError, RunningDaemonError

__all__ = ["DaemonError", "DaemonManager", "DaemonStatus", "RunningDaemonError"]
