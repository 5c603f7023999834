"""Which queue database a project uses, as plain data. Standard library only: the listings use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """Which queue database, as plain data (from a project file or its snapshot).

    ``options`` are the keys beside ``type`` in ``queue.store``; not shown, for they may hold a password.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    flows_collection: str = "flows"
    auxiliary_collection: str = "jf_auxiliary"
    batches_collection: str = "batches"
    db_id_prefix: str = ""
