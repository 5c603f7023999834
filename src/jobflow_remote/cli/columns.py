"""Columns of listings: what each needs of a document, and how it looks in a table and in JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobflow_remote.cli.formatting import format_date, format_duration, format_value, local_zone, shorten
from jobflow_remote.cli.output import out_console
from jobflow_remote.control.inspect import run_seconds
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.states import STATE_ALIASES, JobState

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of a listing."""

    key: str
    header: str
    fields: tuple[str, ...]
    value: Callable[[Document], Any]
    """What JSON shows."""
    text: Callable[[Document], Any] | None = None
    """What a table shows, when that is not the value as text."""

    def cell(self, document: Document) -> Any:
        """What a table shows."""
        if self.text is not None:
            return self.text(document)
        value = self.value(document)
        return "" if value is None else str(value)


def get(document: Document, path: str) -> Any:
    """Value at a dotted path, or None."""
    value: Any = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _plain(key: str, header: str, field: str) -> Column:
    return Column(key, header, (field,), lambda document: get(document, field))


def _date(key: str, header: str, field: str) -> Column:
    return Column(
        key,
        header,
        (field,),
        lambda document: get(document, field),
        lambda document: format_date(get(document, field)),
    )


def state_name(document: Document) -> str:
    """Our name of a job's state."""
    state: str = document["state"]
    return STATE_ALIASES.get(state, state)


def _state_cell(document: Document) -> Any:
    from rich.text import Text

    name = state_name(document)
    if name in (JobState.REMOTE_ERROR, JobState.FAILED):
        return Text(name, style="bold red")
    if get(document, "remote.retry_time_limit"):
        return Text(name, style="bold orange1")
    return Text(name)


def _run_time(document: Document) -> float | None:
    found = run_seconds(document, utcnow())
    return None if found is None else round(found[0], 3)


def _run_time_cell(document: Document) -> str:
    found = run_seconds(document, utcnow())
    if found is None:
        return ""
    seconds, final = found
    return format_duration(seconds) if final else f"~{format_duration(seconds)}"


def _metadata_cell(document: Document) -> str:
    metadata = get(document, "job.metadata")
    return shorten(format_value(metadata), 60) if metadata else ""


JOB_COLUMNS: dict[str, Column] = {
    column.key: column
    for column in (
        _plain("db_id", "DB id", "db_id"),
        _plain("name", "Name", "job.name"),
        Column("state", "State", ("state", "remote.retry_time_limit"), state_name, _state_cell),
        Column(
            "job_id", "Job id (Index)", ("uuid", "index"),
            lambda document: {"uuid": document["uuid"], "index": document["index"]},
            lambda document: f"{document['uuid']} ({document['index']})",
        ),
        _plain("worker", "Worker", "worker"),
        _date("last_updated", "Last updated [TZ]", "updated_on"),
        _plain("queue_id", "Queue id", "remote.process_id"),
        Column("run_time", "Run time [h:mm]", ("start_time", "end_time", "state"), _run_time, _run_time_cell),
        _date("retry_time", "Retry time [TZ]", "remote.retry_time_limit"),
        _plain("prev_state", "Prev state", "previous_state"),
        Column(
            "locked", "Locked", ("lock_id",),
            lambda document: document.get("lock_id") is not None,
            lambda document: "*" if document.get("lock_id") else "",
        ),
        _plain("lock_id", "Lock id", "lock_id"),
        _date("lock_time", "Lock time [TZ]", "lock_time"),
        Column(
            "metadata", "Metadata", ("job.metadata",),
            lambda document: get(document, "job.metadata"), _metadata_cell,
        ),
    )
}  # fmt: skip

_DEFAULT = ("db_id", "name", "state", "job_id", "worker", "last_updated")
_MORE = ("queue_id", "run_time", "retry_time", "prev_state")
_BY_VERBOSITY = (
    _DEFAULT,
    (*_DEFAULT, *_MORE, "locked"),
    (*_DEFAULT, *_MORE, "lock_id", "lock_time", "metadata"),
)
FLOW_COLORS = (
    "red", "green", "yellow", "blue", "magenta", "cyan", "bright_red", "bright_green", "bright_yellow",
    "bright_blue", "bright_magenta", "bright_cyan", "orange1", "dark_orange3", "gold3", "chartreuse3",
    "sea_green2", "turquoise2", "deep_sky_blue1", "dodger_blue2", "slate_blue1", "medium_purple1", "orchid",
    "hot_pink", "deep_pink2", "salmon1", "light_coral", "sandy_brown", "khaki1", "dark_olive_green2",
    "aquamarine1", "light_sky_blue1", "plum2", "thistle1",
)  # fmt: skip


def choose_job_columns(
    *, names: Sequence[str] | None, verbosity: int, stored_data_keys: Sequence[str] | None = None
) -> list[Column]:
    """The columns that the options ask for.

    Raises
    ------
    JobflowRemoteError
        If a column is unknown, or a key of ``stored_data`` has the name of a column.
    """
    unknown = [name for name in names or () if name not in JOB_COLUMNS]
    if unknown:
        raise JobflowRemoteError(
            f"no column is called {', '.join(unknown)}", hint=f"the columns: {', '.join(JOB_COLUMNS)}"
        )
    taken = [key for key in stored_data_keys or () if key in JOB_COLUMNS]
    if taken:
        raise JobflowRemoteError(
            f"{', '.join(taken)} cannot be a key of stored_data here: a column has that name"
        )
    chosen = names or _BY_VERBOSITY[min(verbosity, len(_BY_VERBOSITY) - 1)]
    return [JOB_COLUMNS[name] for name in chosen] + [
        _plain(key, key, f"stored_data.{key}") for key in stored_data_keys or ()
    ]


def job_fields(columns: Iterable[Column], *, more: Sequence[str] = ()) -> list[str]:
    """The fields of a document that these columns need."""
    needed = ["uuid", "index", "db_id", *more]
    for column in columns:
        needed.extend(column.fields)
    return list(dict.fromkeys(needed))


def to_json(columns: Iterable[Column], documents: Iterable[Document]) -> list[dict[str, Any]]:
    """What ``--json`` prints: one flat object for each document."""
    result = []
    for document in documents:
        row = {"uuid": document["uuid"], "index": document["index"], "db_id": document["db_id"]}
        for column in columns:
            if column.key != "job_id":
                row[column.key] = column.value(document)
        result.append(row)
    return result


_MANY = 200
"""Rows beyond which drawing them with all that rich can takes noticeably long."""


def make_table(
    columns: Sequence[Column], documents: Iterable[Document], *, title: str, color_flows: bool = False
) -> Table | Text:
    """A table for people."""
    from rich.table import Table
    from rich.text import Text

    zone = local_zone()
    table = Table(title=title, title_style="bold")
    for column in columns:
        table.add_column(Text(column.header.replace("[TZ]", f"[{zone}]")), overflow="fold")
    colors: dict[str, str] = {}
    rows: list[list[Text]] = []
    for document in documents:
        cells = [column.cell(document) for column in columns]
        if color_flows:
            flow = str(document.get("flow_uuid"))
            color = colors.setdefault(flow, FLOW_COLORS[len(colors) % len(FLOW_COLORS)])
            cells = [
                Text(str(cell), style=color) if column.key == "name" else cell
                for column, cell in zip(columns, cells, strict=True)
            ]
        rows.append([cell if isinstance(cell, Text) else Text(str(cell)) for cell in cells])
    if len(rows) > _MANY and not out_console().is_terminal:
        drawn = _draw_plain(title, [str(column.header) for column in table.columns], rows)
        if drawn is not None:
            return drawn
    for row in rows:
        table.add_row(*row)
    return table


def _draw_plain(title: str, headers: Sequence[str], rows: Sequence[Sequence[Text]]) -> Text | None:
    """The same without styles and wrapping, as files and pipes get it; None if a cell has several lines."""
    from rich.box import HEAVY_HEAD as box
    from rich.cells import cell_len
    from rich.text import Text

    plain = [[cell.plain for cell in row] for row in rows]
    if any("\n" in cell for row in plain for cell in row):
        return None
    widths = [max(map(cell_len, column)) for column in zip(headers, *plain, strict=True)]
    edges = [width + 2 for width in widths]

    def draw(cells: Sequence[str], bar: str) -> str:
        padded = (
            f" {cell}{' ' * (width - cell_len(cell))} " for cell, width in zip(cells, widths, strict=True)
        )
        return bar + bar.join(padded) + bar

    total = sum(edges) + len(edges) + 1
    lines = [
        " " * ((total - cell_len(title)) // 2) + title,
        box.get_top(edges),
        draw(headers, box.head_vertical),
        box.get_row(edges, "head"),
        *(draw(row, box.mid_vertical) for row in plain),
        box.get_bottom(edges),
    ]
    return Text("\n".join(lines), no_wrap=True, overflow="ignore")
