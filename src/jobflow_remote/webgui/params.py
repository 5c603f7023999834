"""What an address says: which jobs or flows, in which order, which page. And addresses for other pages of a list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from jobflow_remote.control import ids
from jobflow_remote.control.inspect import SortOption
from jobflow_remote.errors import FilterError, NotAllowedError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.clock import local_to_stored, utcnow
from jobflow_remote.model.selection import FlowSelection, JobSelection
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.port import QueueDatabase, Sort

SIZES = (10, 20, 50, 100, 200)
DEFAULT_SIZE = 50
FILTERS = ("id", "flow", "name", "state", "worker", "hours", "since", "until", "query")
GROUPS: dict[str, frozenset[JobState]] = {
    "unfinished": lifecycle.UNFINISHED,
    "active": lifecycle.ACTIVE,
    "errors": lifecycle.ERRORS,
    "held": lifecycle.RESUMABLE,
}
"""Words for several states at once."""
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Params:
    """The query of an address, as far as lists understand it."""

    pairs: Pairs = ()
    """Without what is empty."""
    raw: Pairs = ()

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> Params:
        """As an address has them."""
        raw = tuple((key, value.strip()) for key, value in pairs)
        return cls(tuple((key, value) for key, value in raw if value), raw)

    def get(self, key: str) -> str | None:
        """The last value of a key."""
        return next((value for name, value in reversed(self.pairs) if name == key), None)

    def get_all(self, key: str) -> list[str]:
        """All values of a key."""
        return [value for name, value in self.pairs if name == key]

    @property
    def filters(self) -> Pairs:
        """What selects; the rest is about order and page."""
        return tuple((key, value) for key, value in self.pairs if key in FILTERS)

    @property
    def page(self) -> int:
        """From 1."""
        text = self.get("page") or "1"
        return max(1, int(text)) if text.isdigit() and len(text) < 10 else 1

    @property
    def size(self) -> int:
        """Lines of a page."""
        text = self.get("size") or ""
        return int(text) if text.isdigit() and int(text) in SIZES else DEFAULT_SIZE

    @property
    def sort(self) -> SortOption:
        """By what."""
        text = self.get("sort")
        return SortOption(text) if text in tuple(SortOption) else SortOption.UPDATED_ON

    @property
    def ascending(self) -> bool:
        """Oldest or lowest first."""
        return self.get("order") == "asc"

    @property
    def skip(self) -> int:
        """Lines before this page."""
        return (self.page - 1) * self.size

    def to_sort(self) -> Sort:
        """The order as the queue database takes it."""
        return self.sort.to_sort(ascending=self.ascending)

    def address(self, **changes: Any) -> str:
        """The query of another page of the list; None takes a key away."""
        kept = [(key, value) for key, value in self.pairs if key not in changes]
        kept += [(key, str(value)) for key, value in changes.items() if value is not None]
        return f"?{urlencode(kept)}" if kept else "?"


def _since(params: Params) -> tuple[datetime | None, datetime | None]:
    start, end = _moment(params.get("since")), _moment(params.get("until"), last=True)
    hours = params.get("hours")
    if hours:
        try:
            start = utcnow() - timedelta(hours=float(hours))
        except (ValueError, OverflowError):
            raise FilterError(f"{hours!r} is no number of hours") from None
    return start, end


def _moment(text: str | None, *, last: bool = False) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise FilterError(f"{text!r} is no date", hint="write 2025-03-17 or 2025-03-17T18:30") from None
    if last and len(text) == 10:
        moment += timedelta(days=1) - timedelta(milliseconds=1)
    return local_to_stored(moment)


def _query(params: Params) -> Mapping[str, Any] | None:
    text = params.get("query")
    if not text:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as exc:
        raise FilterError(
            f"the query is no JSON: {exc}", hint='for example {"priority": {"$gt": 1}}'
        ) from None
    if not isinstance(value, dict):
        raise FilterError("the query has to be a JSON object", hint='for example {"priority": {"$gt": 1}}')
    return value


def job_states(words: Iterable[str]) -> list[JobState] | None:
    """States and groups of them; None: any.

    Raises
    ------
    FilterError
        If one is unknown.
    """
    chosen: set[JobState] = set()
    for word in words:
        if word in GROUPS:
            chosen |= GROUPS[word]
            continue
        try:
            chosen.add(JobState(word.upper()))
        except ValueError:
            raise FilterError(f"no state of jobs is called {word!r}") from None
    return [state for state in JobState if state in chosen] or None


def job_selection(queue: QueueDatabase, params: Params) -> JobSelection:
    """The jobs that an address speaks of.

    Raises
    ------
    JobflowRemoteError
        If it cannot be understood, or names a job or flow that does not exist.
    """
    start, end = _since(params)
    identifier, flows = params.get("id"), params.get_all("flow")
    return JobSelection(
        uuids=[ids.resolve_job(queue, identifier)[0]] if identifier else None,
        flow_ids=[ids.resolve_flow(queue, flow) for flow in flows] or None,
        states=job_states(params.get_all("state")),
        start=start,
        end=end,
        name=params.get("name"),
        workers=params.get_all("worker") or None,
        query=_query(params),
    )


def flow_selection(queue: QueueDatabase, params: Params) -> FlowSelection:
    """The flows that an address speaks of; raises as :func:`job_selection`."""
    start, end = _since(params)
    identifier = params.get("id") or params.get("flow")
    states = []
    for word in params.get_all("state"):
        try:
            states.append(FlowState(word.upper()))
        except ValueError:
            raise FilterError(f"no state of flows is called {word!r}") from None
    return FlowSelection(
        flow_ids=[ids.resolve_flow(queue, identifier)] if identifier else None,
        states=states or None,
        start=start,
        end=end,
        name=params.get("name"),
        query=_query(params),
    )


def parse_keys(texts: Iterable[str]) -> list[tuple[str, int]]:
    """``UUID:INDEX`` → uuid and index.

    Raises
    ------
    NotAllowedError
        If one is nothing of the kind.
    """
    keys = []
    for text in texts:
        uuid, _, index = text.rpartition(":")
        if not uuid or not index.isdigit():
            raise NotAllowedError(f"{text!r} is not UUID:INDEX; nothing was changed")
        keys.append((uuid, int(index)))
    return keys
