"""What the lists of jobs and of flows share: filters, the table with its selection and actions, pages, empty states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastcore.xml import Input  # as FastHTML's, in a third of the time: they are many
from fasthtml.components import H1, A, Button, Code, Details, Div, Form, Label, P, Span, Summary, Th

from jobflow_remote.control.paging import read_page
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.queuedb.port import Sort
from jobflow_remote.webgui.params import Params
from jobflow_remote.webgui.parts import (
    Element,
    choice,
    count,
    empty,
    field,
    form_key,
    grid_table,
    hidden,
    notice,
    pager,
)  # fmt: skip
from jobflow_remote.webgui.shell import Seen, frame

_LAST = (("", "any time"), ("1", "hour"), ("24", "day"), ("168", "week"), ("720", "30 days"))
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """One kind of list."""

    word: str
    """``job``: as forms call what is marked, and as people are told."""
    filters: Callable[[Seen], Sequence[Element]]
    """The fields that are always shown, but for the time."""
    more_filters: Callable[[Params], Sequence[Element]]
    """What is shown on demand, but for times and the query."""
    more_keys: Sequence[str]
    query_example: str
    heads: Callable[[Params], Sequence[Any]]
    line: Callable[[Seen, Row], Element]
    buttons: Sequence[Element]
    """Actions on what is marked."""

    @property
    def words(self) -> str:
        """``jobs``: also the last part of the address, and the key of the lines."""
        return f"{self.word}s"


def read_lines(
    name: str, total: int, params: Params, find: Callable[[Sort, int, int], list[dict[str, Any]]]
) -> dict[str, Any]:
    """One page of a list: ``find`` takes order, skip and limit."""
    found = read_page(find, total, sort=params.to_sort(), skip=params.skip, limit=params.size)
    return {"total": total, "page": params.page, "size": params.size, name: found}


def render(listing: Listing, seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    title, error = listing.words.capitalize(), data.get("problem")
    problem = notice(error.message, error.hint) if error else None
    total = Span(f"{count(data['total'])} that match" if seen.params.filters else count(data["total"]), cls="muted",
                 data_live="total")  # fmt: skip
    heading = Div(H1(title), None if error else total, cls="page-head")
    return frame(seen, title, _filters(listing, seen), problem, _list(listing, seen, data), heading=heading)


def render_refused(listing: Listing, seen: Seen, error: JobflowRemoteError) -> Element:
    """The page when the filter cannot be understood."""
    return render(listing, seen, {"total": 0, listing.words: [], "problem": error})


def _filters(listing: Listing, seen: Seen) -> Element:
    params = seen.params
    more = [params.get(key) for key in (*listing.more_keys, "since", "until", "query")]
    return Form(
        Div(
            *listing.filters(seen),
            choice("hours", "Updated in the last", _LAST, [params.get("hours") or ""]),
            Button("Filter", type="submit", cls="primary"),
            A("Clear", href=seen.path, cls="button") if params.filters else None,
            cls="fields",
        ),
        Details(
            Summary("More filters"),
            Div(
                *listing.more_filters(params),
                field("since", "Updated since", params.get("since"), type="datetime-local"),
                field("until", "Updated until", params.get("until"), type="datetime-local"),
                field("query", "Query (MongoDB's language)", params.get("query"), placeholder=listing.query_example,
                      spellcheck="false"),
                cls="fields",
            ),
            open=any(more),
        ),
        *hidden((key, value) for key, value in params.pairs if key in ("sort", "order", "size")),
        method="get", action=seen.path, cls="filters", role="search", aria_label=f"Filter {listing.words}",
    )  # fmt: skip


def _list(listing: Listing, seen: Seen, data: Mapping[str, Any]) -> Element:
    rows: Sequence[Row] = data[listing.words]
    if not rows:
        return Div(_nothing(listing, seen, data), data_live="list")
    params = seen.params
    everything = Th(
        Input(type="checkbox", data_page="1", aria_label=f"Select all {listing.words} of this page"),
        scope="col", cls="pick",
    )  # fmt: skip
    lines = [listing.line(seen, row) for row in rows]
    table = grid_table(
        [everything, *listing.heads(params)], lines, label=listing.words.capitalize(), cls=listing.words
    )
    return Form(
        form_key(seen.form_key),
        _toolbar(listing, data) if seen.may_change else None,
        Div(table, data_live="list", data_rows=listing.words, data_first=str(params.page == 1).lower()),
        Div(pager(params, data["total"], listing.word), data_live="pager"),
        *hidden([("filter", params.address()[1:]), ("back", seen.path + params.address())]),
        method="post", action=f"{seen.root}/{listing.words}/act", data_dialog="1", data_select=listing.word, cls="list",
    )  # fmt: skip


def _nothing(listing: Listing, seen: Seen, data: Mapping[str, Any]) -> Element:
    if data.get("problem"):
        return None
    if seen.params.page > 1:
        way_back = A("To the first page", href=seen.params.address(page=None))
        return empty("There is nothing on this page.", P(way_back))
    if seen.params.filters:
        return empty(f"No {listing.word} matches.", P(A(f"Show all {listing.words}", href=seen.path)))
    return empty(
        f"There are no {listing.words} yet.", P("Submit a flow with ", Code("submit_flow(flow)"), ".")
    )


def _toolbar(listing: Listing, data: Mapping[str, Any]) -> Element:
    everything = Label(
        Input(type="checkbox", name="scope", value="filter", data_all="1"),
        Span(f"all {count(data['total'])} that match"),
        cls="check",
    )
    return Div(
        Span("None selected", cls="selected", role="status", data_none="None selected"),
        *listing.buttons,
        everything if data["total"] > len(data[listing.words]) else None,
        cls="toolbar", role="group", aria_label=f"Actions on the selected {listing.words}",
    )  # fmt: skip


def picker(listing_word: str, value: str, label: str) -> Element:
    """The check-box of a line."""
    return Input(type="checkbox", name=listing_word, value=value, aria_label=label)
