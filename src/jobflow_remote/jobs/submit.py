"""Import path of jobflow-remote 1.0.1."""

from jobflow_remote.control.submit import submit_flow

__all__ = ["submit_flow"]
