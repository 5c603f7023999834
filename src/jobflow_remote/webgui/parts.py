"""Small pieces of pages: states, moments, tables, pagers, notices. All text is escaped where it is put in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from fastcore.xml import Span, Svg, Time  # as FastHTML's, in a third of the time: they are many
from fasthtml.components import (
    H2,
    A,
    Button,
    Code,
    Dd,
    Div,
    Dl,
    Dt,
    Form,
    Input,
    Label,
    Nav,
    Option,
    P,
    Pre,
    Section,
    Select,
    Table,
    Tbody,
    Th,
    Thead,
    Tr,
)

from jobflow_remote.model.states import JobState
from jobflow_remote.webgui.gate import FORM_KEY
from jobflow_remote.webgui.params import SIZES, Params

Element = Any
"""What FastHTML renders."""

_SHADES = {
    "WAITING": "grey", "READY": "cyan", "CHECKED_OUT": "blue", "UPLOADED": "blue", "SUBMITTED": "blue",
    "RUNNING": "blue", "TERMINATED": "blue", "DOWNLOADED": "blue", "BATCH_SUBMITTED": "blue", "BATCH_RUNNING": "blue",
    "COMPLETED": "green", "FAILED": "red", "REMOTE_ERROR": "orange", "PAUSED": "violet", "STOPPED": "violet",
    "USER_STOPPED": "violet",
}  # fmt: skip


def shade(state: str) -> str:
    """Name of the colour of a state of a job or a flow."""
    return _SHADES.get(state, "grey")


def state_badge(state: str) -> Element:
    """A state, by its name and its colour."""
    return Span(state, cls=f"state {shade(state)}")


def moment(value: datetime | None) -> Element:
    """A moment; the browser says it in its own time zone, the exact one on hover."""
    if value is None:
        return Span("–", cls="none")
    exact = value if value.tzinfo else value.replace(tzinfo=UTC)
    stamp = exact.isoformat(timespec="milliseconds")
    return Time(f"{exact:%Y-%m-%d %H:%M:%S} UTC", datetime=stamp, title=stamp)


def duration(seconds: float | None) -> str:
    """Some seconds, in the two units that matter."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def file_size(size: int) -> str:
    """Bytes, in a unit that fits."""
    number, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def count(number: int) -> str:
    """A number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def plural(number: int, word: str) -> str:
    """``3 jobs``."""
    return f"{count(number)} {word}{'' if number == 1 else 's'}"


def section(title: str, *content: Any, key: str | None = None, actions: Any = None) -> Element:
    """A part of a page under a heading; with a ``key`` it is renewed when something happened."""
    live = {"data_live": key} if key else {}
    heading = Div(H2(title), actions, cls="section-head") if actions is not None else H2(title)
    return Section(heading, Div(*content, **live), cls="card")


def facts(values: Iterable[tuple[str, Any]]) -> Element:
    """Names and values."""
    return Dl(*(part for name, value in values for part in (Dt(name), Dd(value))), cls="facts")


def grid_table(heads: Sequence[Any], rows: Iterable[Any], *, label: str, cls: str = "") -> Element:
    """A table of ``Tr``; it scrolls by itself when it is too wide. Heads of numbers stand where the numbers do."""
    lines = list(rows)
    kinds = [cell.attrs.get("class") for cell in lines[0].children] if lines else []
    numbers = {at for at, kind in enumerate(kinds) if kind == "number"}
    cells = [
        each
        if hasattr(each, "tag") and each.tag == "th"
        else Th(each, scope="col", **({"cls": "number"} if at in numbers else {}))
        for at, each in enumerate(heads)
    ]
    table = Table(Thead(Tr(*cells)), Tbody(*lines), aria_label=label)
    return Div(table, cls=f"table {cls}".strip(), tabindex="0", role="region", aria_label=label)


def empty(text: str, *more: Any) -> Element:
    """Nothing to show, and what to do next."""
    return Div(P(text), *more, cls="empty")


def with_code(text: str) -> list[Any]:
    """Text in which what stands between backticks is code."""
    return (
        [Code(part) if at % 2 else part for at, part in enumerate(text.split("`"))] if "`" in text else [text]
    )


def notice(message: str, hint: str | None = None, *, kind: str = "error") -> Element:
    """Something to be read."""
    return Div(
        P(*with_code(message)),
        P(*with_code(hint), cls="hint") if hint else None,
        cls=f"notice {kind}",
        role="alert",
    )


def form_key(key: str) -> Element:
    """Makes a form one of this session."""
    return Input(type="hidden", name=FORM_KEY, value=key)


def hidden(pairs: Iterable[tuple[str, str]]) -> list[Element]:
    """Values that a form carries along."""
    return [Input(type="hidden", name=name, value=value) for name, value in pairs]


def post_form(action: str, key: str, *content: Any, **attributes: Any) -> Element:
    """A form that changes something."""
    return Form(form_key(key), *content, method="post", action=action, **attributes)


def post_button(
    action: str, key: str, label: str, pairs: Iterable[tuple[str, str]], *, cls: str = ""
) -> Element:
    """A button that is a form of its own."""
    return post_form(
        action, key, *hidden(pairs), Button(label, type="submit", cls=cls), cls="inline", data_dialog="1"
    )


def choice(
    name: str,
    label: str,
    options: Iterable[tuple[str, str]],
    chosen: Iterable[str],
    *,
    required: bool = False,
) -> Element:
    """A labelled list to choose from."""
    selected = set(chosen)
    return Label(
        Span(label),
        Select(
            *(Option(text, value=value, selected=value in selected) for value, text in options),
            name=name,
            required=required,
        ),
    )


def field(name: str, label: str, value: str | None, **attributes: Any) -> Element:
    """A labelled line to type into."""
    return Label(Span(label), Input(name=name, value=value or "", **{"type": "text", **attributes}))


def sort_head(params: Params, key: str, label: str) -> Element:
    """The head of a column by which one can sort."""
    current = params.sort.value == key
    order = "desc" if (current and params.ascending) or not current else "asc"
    arrow = (" ▲" if params.ascending else " ▼") if current else ""
    return Th(
        A(label, Span(arrow, aria_hidden="true"), href=params.address(sort=key, order=order, page=None)),
        scope="col",
        **({"aria_sort": "ascending" if params.ascending else "descending"} if current else {}),
    )


def pager(params: Params, total: int, word: str) -> Element:
    """Which lines are shown, and the ways to others."""
    pages = max(1, -(-total // params.size))
    first, last = params.skip + 1, min(params.skip + params.size, total)
    shown = (
        f"{count(first)}–{count(last)} of {plural(total, word)}"
        if total and first <= total
        else plural(total, word)
    )

    def link(label: str, page: int, title: str) -> Element:
        if not 1 <= page <= pages or page == params.page:
            return Span(label, cls="off", aria_hidden="true")
        return A(label, href=params.address(page=page if page > 1 else None), title=title, aria_label=title)

    sizes = Span(
        "per page:",
        *(Span(str(size), cls="here", aria_current="true") if size == params.size
          else A(str(size), href=params.address(size=size, page=None), aria_label=f"{size} per page")
          for size in SIZES),
        cls="sizes",
    )  # fmt: skip
    return Nav(
        Span(shown, cls="shown"),
        Span(
            link("« first", 1, "First page"), link("‹ previous", params.page - 1, "Previous page"),
            Span(f"page {count(params.page)} of {count(pages)}"),
            link("next ›", params.page + 1, "Next page"), link("last »", pages, "Last page"),
            cls="pages",
        ),
        sizes,
        cls="pager",
        aria_label="Pages",
    )  # fmt: skip


def state_bar(counts: Mapping[str, int], *, label: str = "Jobs by state") -> Element:
    """How many are in which state, as one line of colours."""
    total = sum(counts.values())
    ordered = [state.value for state in JobState if counts.get(state.value)]
    parts, x = [], 0.0
    for state in ordered:
        width = 100 * counts[state] / total
        parts.append(
            f'<rect x="{x:.3f}" y="0" width="{width:.3f}" height="8" class="fill {shade(state)}">'
            f"<title>{state} {counts[state]}</title></rect>"
        )
        x += width
    from fasthtml.common import NotStr  # only numbers and our own words are in it

    words = ", ".join(f"{counts[state]} {state}" for state in ordered) or "none"
    return Svg(NotStr("".join(parts)), viewBox="0 0 100 8", preserveAspectRatio="none", cls="bar", role="img",
               aria_label=f"{label}: {words}")  # fmt: skip


def text_block(text: str, *, label: str) -> Element:
    """Text as somebody wrote it."""
    return Pre(Code(text), tabindex="0", aria_label=label)


def path_part(text: str) -> str:
    """Text as one part of an address."""
    return quote(str(text), safe="")
