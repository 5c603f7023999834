"""The error of jobflow-remote 1.0.1 for files that are not deleted because they do not look like ours."""

from jobflow_remote.errors import NotAllowedError as UnsafeDeletionError

__all__ = ["UnsafeDeletionError"]
