"""Import path of jobflow-remote 1.0.1."""

from jobflow_remote.control.outputs import get_jobstore

__all__ = ["get_jobstore"]
