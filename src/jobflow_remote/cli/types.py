"""Arguments and options that commands share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jobflow_remote.cli import completing, parsing
from jobflow_remote.config.loglevel import LogLevel
from jobflow_remote.control.inspect import SortOption
from jobflow_remote.model.states import BatchState, FlowState, JobState

_DATES = "DATE"
_DICT = "JSON|KEY=VALUE,…"
_JOBS = "Which jobs"
_FLOWS = "Which flows"


def _names(values: type[JobState] | type[FlowState] | type[BatchState]) -> str:
    return ", ".join(value.value for value in values)


# -- one job, one flow -----------------------------------------------------------------------------

JobId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The job: its DB id, its uuid, or the first six or more letters of its uuid.",
        autocompletion=completing.complete_jobs,
    ),
]
OptionalJobId = Annotated[
    str | None,
    typer.Argument(
        metavar="ID",
        help="The job: its DB id, its uuid, or the first six or more letters of its uuid.",
        autocompletion=completing.complete_jobs,
    ),
]
JobIndex = Annotated[
    int | None,
    typer.Argument(metavar="INDEX", help="Index of the job (default: the highest); only beside a uuid."),
]
FlowId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The flow: its uuid, the first six or more letters of it, or any id of one of its jobs.",
        autocompletion=completing.complete_flows,
    ),
]
IsJobId = Annotated[
    bool, typer.Option("--job", "-j", help="The ID is that of a job of the flow.", show_default=False)
]

# -- which jobs ------------------------------------------------------------------------------------

JobIds = Annotated[
    list[Any] | None,
    typer.Option(
        "--job-id", "-jid", parser=parsing.parse_job_index, metavar="UUID:INDEX", rich_help_panel=_JOBS,
        help="Uuid (or the first six or more letters of it) and index; repeatable.",
        autocompletion=completing.complete_uuids_with_index,
    ),
]  # fmt: skip
DbIds = Annotated[
    list[str] | None,
    typer.Option(
        "--db-id", "-did", help="Any id of a job; repeatable.", rich_help_panel=_JOBS,
        autocompletion=completing.complete_jobs,
    ),
]  # fmt: skip
FlowIds = Annotated[
    list[str] | None,
    typer.Option(
        "--flow-id", "-fid", help="Id of a flow, or of a job in it; repeatable.", rich_help_panel=_JOBS,
        autocompletion=completing.complete_flows,
    ),
]  # fmt: skip
JobStates = Annotated[
    list[JobState] | None,
    typer.Option(
        "--state",
        "-s",
        metavar="STATE",
        help=f"State; repeatable. One of {_names(JobState)}.",
        rich_help_panel=_JOBS,
        autocompletion=completing.complete_job_states,
    ),
]
StartDate = Annotated[
    Any,
    typer.Option(
        "--start-date", "-sdate", parser=parsing.parse_start_date, metavar=_DATES, rich_help_panel=_JOBS,
        help="Updated since: 2025-03-17, 2025-03-17T18:30:00, or a time of day such as 18:30:00.",
    ),
]  # fmt: skip
EndDate = Annotated[
    Any,
    typer.Option(
        "--end-date", "-edate", parser=parsing.parse_end_date, metavar=_DATES, rich_help_panel=_JOBS,
        help="Updated until: 2025-03-17 or 2025-03-17T18:30:00.",
    ),
]  # fmt: skip
Name = Annotated[
    str | None, typer.Option("--name", "-n", help="Name, with * and ? as wildcards.", rich_help_panel=_JOBS)
]
Metadata = Annotated[
    Any,
    typer.Option(
        "--metadata", "-meta", parser=parsing.parse_dict, metavar=_DICT, help="Values in the metadata.",
        rich_help_panel=_JOBS,
    ),
]  # fmt: skip
Days = Annotated[
    int | None,
    typer.Option(
        "--days", "-ds", parser=parsing.parse_number, metavar="N", help="Updated in the last N days.",
        rich_help_panel=_JOBS,
    ),
]  # fmt: skip
Hours = Annotated[
    int | None,
    typer.Option(
        "--hours", "-hs", parser=parsing.parse_number, metavar="N", help="Updated in the last N hours.",
        rich_help_panel=_JOBS,
    ),
]  # fmt: skip
Workers = Annotated[
    list[str] | None,
    typer.Option(
        "--worker", "-wk", help="Name of a worker; repeatable.", rich_help_panel=_JOBS,
        autocompletion=completing.complete_workers,
    ),
]  # fmt: skip
Query = Annotated[
    Any,
    typer.Option(
        "--query", "-q", parser=parsing.parse_query, metavar=_DICT, rich_help_panel=_JOBS,
        help='A filter in the language of MongoDB, on any field of the documents; moments as {"$date": "2025-03-17"}.',
    ),
]  # fmt: skip

# -- which flows -----------------------------------------------------------------------------------

JobUuids = Annotated[
    list[str] | None,
    typer.Option(
        "--job-id", "-jid", help="Any id of a job; repeatable.", rich_help_panel=_JOBS,
        autocompletion=completing.complete_uuids,
    ),
]  # fmt: skip
FlowStates = Annotated[
    list[FlowState] | None,
    typer.Option(
        "--state",
        "-s",
        metavar="STATE",
        help=f"State; repeatable. One of {_names(FlowState)}.",
        rich_help_panel=_JOBS,
        autocompletion=completing.complete_flow_states,
    ),
]

# -- which batches ---------------------------------------------------------------------------------

BatchStates = Annotated[
    list[BatchState] | None,
    typer.Option(
        "--state", "-s", metavar="STATE", help=f"State; repeatable. One of {_names(BatchState)}.",
        autocompletion=completing.complete_batch_states,
    ),
]  # fmt: skip

# -- listings --------------------------------------------------------------------------------------

Verbosity = Annotated[
    int, typer.Option("--verbosity", "-v", count=True, help="Show more; -vv shows most.", show_default=False)
]
MaxResults = Annotated[
    int,
    typer.Option(
        "--max-results", "-m", parser=parsing.parse_number, metavar="N",
        help="How many to show at most; 0: all.",
    ),
]  # fmt: skip
Sort = Annotated[SortOption, typer.Option("--sort", help="By what to sort, the latest first.")]
ReverseSort = Annotated[
    bool, typer.Option("--reverse-sort", "-revs", help="Turn the order round.", show_default=False)
]
Locked = Annotated[bool, typer.Option("--locked", "-l", help="Only locked ones.", show_default=False)]
Count = Annotated[bool, typer.Option("--count", help="Print only how many there are.", show_default=False)]
Columns = Annotated[
    Any,
    typer.Option(
        "--output", "-o", parser=parsing.parse_names, metavar="COLUMN,…", help="The columns to show.",
        autocompletion=completing.complete_columns,
    ),
]  # fmt: skip
StoredDataKeys = Annotated[
    list[str] | None,
    typer.Option("--stored-data-key", "-sdk", help="Also show this key of stored_data; repeatable."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, for programs; messages go to stderr.", show_default=False)
]
"""A command that takes this takes ``--jsonl`` too: see :mod:`.jfr_typer`."""
Watch = Annotated[
    bool,
    typer.Option(
        "--watch", help="Show it again whenever something has changed, until Ctrl-C.", show_default=False
    ),
]

# -- actions ---------------------------------------------------------------------------------------

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.", show_default=False)]
LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option("--log-level", "-log", help="How much the log says, instead of what the project has."),
]
SetPid = Annotated[
    bool, typer.Option("--set-pid", "-pid", help="Kept for scripts: the log always has the pid.", hidden=True)
]
DumpPath = Annotated[
    Path | None, typer.Option("--path", "-p", metavar="FILE", help="Write to a file: .json or .yaml.")
]


def _refuse_force(value: bool) -> bool:
    if value:
        raise typer.BadParameter("--force no longer means 'do not ask': use --yes (-y)")
    return value


force_opt = Annotated[
    bool, typer.Option("--force", "-f", hidden=True, callback=_refuse_force, help="Deprecated: use --yes.")
]
"""For plug-ins written for release 1.0.1."""
