"""Import path of jobflow-remote 1.0.1."""

from jobflow_remote.errors import HostError

__all__ = ["HostError"]
