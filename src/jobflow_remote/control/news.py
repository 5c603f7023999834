"""What has changed in a queue since the last look: for whoever shows it while it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from jobflow_remote.model.records import Document
from jobflow_remote.queuedb.port import QueueDatabase

JOB_FIELDS = (
    "uuid", "index", "db_id", "state", "worker", "flow_uuid", "updated_on", "start_time", "end_time", "job.name",
    "error", "remote.error",
)  # fmt: skip
FLOW_FIELDS = ("uuid", "name", "state", "updated_on", "n_jobs", "counts", "db_number")
MOST = 300
"""How many documents of a kind are told one by one."""
_OVERLAP = timedelta(seconds=30)
"""Writers on other machines have clocks of their own: changes may turn up with a date this far in the past."""


@dataclass(frozen=True, slots=True)
class News:
    """What changed between two looks."""

    jobs: Sequence[Document]
    flows: Sequence[Document]
    incomplete: bool
    """More changed than is told."""


@dataclass
class NewsReader:
    """Remembers what was seen; one for each reader, used by one thread."""

    queue: QueueDatabase
    _seen: dict[str, dict[Any, datetime]] = field(default_factory=lambda: {"jobs": {}, "flows": {}})
    _newest: dict[str, datetime] = field(default_factory=dict)
    _totals: tuple[int, int] | None = None
    _looked: bool = False

    def read(self) -> News:
        """What is new since the last call; the first call only looks."""
        first, self._looked = not self._looked, True
        jobs, more_jobs = self._find("jobs", self.queue.find_jobs, JOB_FIELDS)
        flows, more_flows = self._find("flows", self.queue.find_flows, FLOW_FIELDS)
        if first:
            return News([], [], incomplete=False)
        return News(jobs, flows, incomplete=more_jobs or more_flows)

    def misses_some(self) -> bool:
        """Whether something is gone since the last call. All documents are counted, which takes its time."""
        jobs, flows = self.queue.count_job_states(), self.queue.count_flow_states()
        totals, before = (sum(jobs.values()), sum(flows.values())), self._totals
        self._totals = totals
        return before is not None and (totals[0] < before[0] or totals[1] < before[1])

    def _find(self, kind: str, find: Any, fields: Sequence[str]) -> tuple[list[Document], bool]:
        newest = self._newest.get(kind)
        query = {} if newest is None else {"updated_on": {"$gte": newest - _OVERLAP}}
        found: list[Document] = find(query, fields=fields, sort=(("updated_on", -1),), limit=MOST)
        seen = self._seen[kind]
        news = [document for document in found if seen.get(_key(document)) != document["updated_on"]]
        if found:
            self._newest[kind] = max(found[0]["updated_on"], newest or found[0]["updated_on"])
        self._seen[kind] = {_key(document): document["updated_on"] for document in found}
        return news, len(news) == MOST


def _key(document: Mapping[str, Any]) -> tuple[str, int]:
    return document["uuid"], document.get("index", 0)
