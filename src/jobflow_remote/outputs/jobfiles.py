"""The files of a run folder, as the runner writes and reads them. No store is opened here, and jobflow not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jobflow_remote import layout
from jobflow_remote.errors import CapabilityMissingError, UnreadableOutputError
from jobflow_remote.execution import plainjson
from jobflow_remote.execution.jobfields import stores_used
from jobflow_remote.model.clock import to_stored
from jobflow_remote.model.decide.completion import JobResponse, JobResult
from jobflow_remote.model.decide.submission import GeneratedJob
from jobflow_remote.model.records import Document
from jobflow_remote.outputs import formerresults

__all__ = ["check_file_format", "read_output_documents", "read_result", "render_input", "stores_used"]

_JSON_STORES = (None, "maggma_json", "orjson", "msgspec_json")
"""Settings of ``remote_jobstore.store`` that mean the JSON files of this module."""
_HIDDEN = ("_id", "job", "claim")
"""Fields of a job document that are no business of the compute node; the job travels beside it, resolved."""


def check_file_format(remote_jobstore: Mapping[str, Any] | None) -> None:
    """Refuse a project's ``remote_jobstore`` that asks for other files than JSON.

    Raises
    ------
    CapabilityMissingError
        If it does.
    """
    wanted = (remote_jobstore or {}).get("store")
    if wanted not in _JSON_STORES or (remote_jobstore or {}).get("zip"):
        what = wanted if isinstance(wanted, str) else "a store of your own" if wanted else "compressed files"
        raise CapabilityMissingError(
            f"remote_jobstore asks for {what}, and results can travel as plain JSON files only",
            hint="Remove remote_jobstore from the project: JSON is what it means without.",
        )


def render_input(
    document: Mapping[str, Any], *, job: Document, store_names: Sequence[str], attempt: str
) -> bytes:
    """Content of ``jfremote_in.json``.

    Parameters
    ----------
    document
        The job's document; becomes ``CURRENT_JOBDOC.job_doc``.
    job
        The serialised job with its references resolved.
    store_names
        Additional stores that the output store has.
    attempt
        The attempt that may execute this input, once.
    """
    job_doc = {key: value for key, value in document.items() if key not in _HIDDEN}
    job_doc.update(lock_id=None, lock_time=None)
    content = {
        "version": layout.FORMAT_VERSION,
        "attempt": attempt,
        "job": job,
        "store": {"format": "json", "additional_stores": list(store_names)},
        "job_doc": job_doc,
    }
    return plainjson.encode(content).encode("utf-8")


def read_result(folder: Path, *, attempt: str | None = None) -> JobResult | None:
    """What the job left behind; None if its process ended without leaving a result.

    Parameters
    ----------
    attempt
        The attempt whose result is wanted; that of another one counts as none.

    Raises
    ------
    UnreadableOutputError
        If there is a result that cannot be understood.
    """
    path = folder / layout.OUT_FILENAME
    try:
        content = plainjson.read_file(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(content, dict):
        raise _unreadable(path, "it does not hold a dictionary")
    if attempt is not None and content.get("attempt") not in _attempts(attempt):
        return None
    if content.get("response") is None and content.get("error") is None:
        return None
    return _parse_result(path, content)


def _attempts(attempt: str) -> tuple[str | None, ...]:
    """What a result says of its attempt. Input files of older releases name none."""
    former = attempt.startswith(layout.FORMER_ATTEMPT)
    return (None, attempt, layout.NO_ATTEMPT) if former else (None, attempt)


def _parse_result(path: Path, content: Document) -> JobResult:
    version = content.get("version", 1)
    if version not in (1, layout.FORMAT_VERSION):
        raise UnreadableOutputError(
            f"{path} has format {version}, and this jobflow-remote reads {layout.FORMAT_VERSION}",
            hint="Install the same version of jobflow-remote for the worker as for the runner.",
        )
    parse = _parse_response if version == layout.FORMAT_VERSION else formerresults.parse_response
    try:
        response = content["response"]
        return JobResult(
            response=None if response is None else parse(response),
            error=content["error"],
            start_time=_stored_time(content.get("start_time")),
            end_time=_stored_time(content.get("end_time")),
            worker_info=content.get("worker_info"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error


def _parse_response(response: Document) -> JobResponse:
    return JobResponse(
        replace=_parse_jobs(response.get("replace")),
        detour=_parse_jobs(response.get("detour")),
        addition=_parse_jobs(response.get("addition")),
        flow_names=dict(response.get("flow_names") or {}),
        stored_data=response.get("stored_data"),
        stop_children=bool(response.get("stop_children")),
        stop_jobflow=bool(response.get("stop_jobflow")),
    )


def _parse_jobs(jobs: list[Document] | None) -> tuple[GeneratedJob, ...]:
    return tuple(GeneratedJob(new["job"], tuple(new["parents"])) for new in jobs or ())


def read_output_documents(folder: Path) -> tuple[Document, dict[str, list[Document]]]:
    """The output document of the job, and its blobs by the name of the additional store that they belong to.

    Raises
    ------
    UnreadableOutputError
        If a file is missing or broken, or there is not exactly one output document.
    """
    path = _find_file(folder, layout.STORE_STEM)
    documents = _read_documents(path)
    if len(documents) != 1:
        raise _unreadable(path, f"it holds {len(documents)} documents instead of 1")
    blobs = {}
    for stem in _stems(folder):
        blobs[stem.removeprefix(layout.ADDITIONAL_STORE_STEM)] = _read_documents(_find_file(folder, stem))
    return documents[0], {name: found for name, found in blobs.items() if found}


def _stems(folder: Path) -> list[str]:
    """Names of the files with blobs, without their endings."""
    found = set()
    for extension in ("json", *formerresults.EXTENSIONS):
        names = folder.glob(f"{layout.ADDITIONAL_STORE_STEM}*.{extension}")
        found |= {path.name.removesuffix(f".{extension}") for path in names}
    return sorted(found)


def _find_file(folder: Path, stem: str) -> Path:
    """The file as it is written at present; if there is none, one that an older release wrote."""
    path = folder / f"{stem}.json"
    former = [folder / f"{stem}.{extension}" for extension in formerresults.EXTENSIONS]
    return next((found for found in (path, *former) if found.exists()), path)


def _read_documents(path: Path) -> list[Document]:
    try:
        documents = (plainjson if path.suffix == ".json" else formerresults).read_file(path)
    except FileNotFoundError:
        raise UnreadableOutputError(
            f"the job says that it finished, but {path} is missing",
            hint="Something removed files from the run folder after the job; rerun it.",
        ) from None
    except ValueError as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(documents, list) or not all(isinstance(document, dict) for document in documents):
        raise _unreadable(path, "it does not hold a list of documents")
    return documents


def _unreadable(path: Path, why: str) -> UnreadableOutputError:
    return UnreadableOutputError(
        f"{path} cannot be understood: {why}", hint="Look at the file, then rerun the job."
    )


def _stored_time(moment: Any) -> datetime | None:
    read = formerresults.parse_moment(moment)
    return None if read is None else to_stored(read)
