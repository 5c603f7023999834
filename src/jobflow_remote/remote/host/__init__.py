"""The error that scripts of jobflow-remote 1.0.1 catch; its host classes are gone (ours are internal)."""

from __future__ import annotations

from jobflow_remote.errors import HostError

__all__ = ["HostError"]
