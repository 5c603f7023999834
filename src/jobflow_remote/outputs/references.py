"""Put the outputs that a job refers to into its arguments, on plain documents.

A reference is followed through plain lists and dictionaries only. At the first serialised object on its way
the rest of the path is left to the compute node (:mod:`jobflow_remote.execution.placeholder`): no class of
the user's is imported here, and attributes that a class computes keep working. What the function gets in
the end is what ``OutputReference.resolve`` of jobflow would have given it, with two differences: an output
is read only as far as the path goes (a broken reference elsewhere in it does no harm), and all outputs that
a job needs are read at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from jobflow_remote.errors import MissingReferenceError
from jobflow_remote.execution.placeholder import MARK, make_placeholder
from jobflow_remote.model.records import Document

_ARGUMENTS = ("function_args", "function_kwargs")

Path = tuple[tuple[str, Any], ...]
"""Pairs of ``"a"`` (attribute) or ``"i"`` (index) and name or index."""


class OutputReader(Protocol):
    """Where outputs are read from."""

    def read_latest(self, uuids: Sequence[str]) -> dict[str, Any]:
        """Output of the highest index for each uuid that has one, as stored."""

    def read_blobs(self, store_name: str, blob_uuids: Sequence[str]) -> dict[str, Any]:
        """Data by blob uuid, from one additional store."""


def has_references(job: Mapping[str, Any]) -> bool:
    """Whether a serialised job needs outputs of others put into its arguments."""
    wanted = (job.get("config") or {}).get("resolve_references", True)
    return bool(wanted) and any(True for name in _ARGUMENTS for _ in _find_references(job.get(name)))


def referred_uuids(document: Any) -> set[str]:
    """The uuids of all jobs that a serialised document refers to."""
    uuids: set[str] = set()
    open_values = [document]
    while open_values:  # a loop, since flows of 10,000 jobs are looked through
        value = open_values.pop()
        if _is_reference(value):
            uuids.add(value["uuid"])
        else:
            open_values += [inner for inner in _children(value) if isinstance(inner, dict | list | tuple)]
    return uuids


def resolve_job(job: Document, store: OutputReader) -> Document:
    """The job with the outputs in place of the references to them; the one given is not changed.

    Raises
    ------
    MissingReferenceError
        If an output that the job cannot do without does not exist, or has not the item referred to.
    ConfigError
        If part of an output is in an additional store that the output store does not have.
    """
    if not has_references(job):
        return job
    return _Resolver(job, store).resolved()


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and value.get("@class") == "OutputReference"


def _is_object(value: Any) -> bool:
    """Whether decoding makes something else out of this dictionary."""
    return isinstance(value, dict) and "@module" in value and ("@class" in value or "@callable" in value)


def _is_blob(value: Any) -> bool:
    return isinstance(value, dict) and "blob_uuid" in value and "store" in value


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _find_references(value: Any) -> Iterator[Document]:
    if _is_reference(value):
        yield value
        return
    for inner in _children(value):
        yield from _find_references(inner)


def find_blobs(value: Any) -> Iterator[Document]:
    """What in an output stands for something in an additional store (``store``, ``blob_uuid``)."""
    if _is_blob(value):
        yield value
        return
    for inner in _children(value):
        yield from find_blobs(inner)


def _contains_object(value: Any) -> bool:
    if isinstance(value, dict) and MARK in value:
        return False
    return _is_object(value) or any(_contains_object(inner) for inner in _children(value))


def _path_of(reference: Document) -> Path:
    return tuple((kind, key) for kind, key in reference.get("attributes") or ())


def _format_path(path: Path) -> str:
    return "".join(f".{key}" if kind == "a" else f"[{key!r}]" for kind, key in path)


class _Resolver:
    """What is known while the references of one job are resolved."""

    def __init__(self, job: Document, store: OutputReader) -> None:
        config = job.get("config") or {}
        on_missing = config.get("on_missing_references") or "error"
        if isinstance(on_missing, Mapping):
            on_missing = on_missing.get("value")
        self.job = job
        self.store = store
        self.on_missing = str(on_missing).lower()
        self.wrap = config.get("resolve_references") == "both"
        self.outputs: dict[str, Any] = {}
        self.absent: set[str] = set()
        self.blobs: dict[tuple[str, str], Any] = {}

    def resolved(self) -> Document:
        given = {name: self.job[name] for name in _ARGUMENTS if name in self.job}
        self._read_outputs(list(given.values()))
        return {**self.job, **{name: self._argument(value) for name, value in given.items()}}

    # -- arguments -----------------------------------------------------------------------------------------

    def _argument(self, value: Any, *, inside: bool = False) -> Any:
        """``value`` without references. ``inside``: within a serialised object, whose class sees it decoded only."""
        if _is_reference(value):
            found = self._follow(value, (), trail=())
            if self.wrap:
                return make_placeholder(found, wrapped_as=(value["uuid"], value.get("attributes") or []))
            return self._decoded_if(inside, found)
        if isinstance(value, dict):
            below = inside or _is_object(value)
            return {key: self._argument(inner, inside=below) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._argument(inner, inside=inside) for inner in value]
        return value

    @staticmethod
    def _decoded_if(inside: bool, found: Any) -> Any:
        return make_placeholder(found) if inside and _contains_object(found) else found

    # -- one reference -------------------------------------------------------------------------------------

    def _follow(self, reference: Document, rest: Path, *, trail: tuple[str, ...]) -> Any:
        """What the reference, followed further along ``rest``, leads to: a plain document or a placeholder."""
        uuid = reference["uuid"]
        if uuid in trail:
            raise MissingReferenceError(
                f"{self._who()} refers to outputs that refer to each other: {' → '.join((*trail, uuid))}"
            )
        if uuid not in self.outputs:
            self._read_outputs([reference])
        if uuid not in self.outputs:
            return self._missing(reference, rest)
        return self._walk(self.outputs[uuid], _path_of(reference) + rest, trail=(*trail, uuid))

    def _walk(self, value: Any, path: Path, *, trail: tuple[str, ...]) -> Any:
        for number, (kind, key) in enumerate(path):
            value = self._unblobbed(value)
            if _is_reference(value):
                return self._follow(value, path[number:], trail=trail)
            if _is_object(value):
                return make_placeholder(self._whole(value, inside=True, trail=trail), path[number:])
            if isinstance(value, dict):
                if key not in value:
                    raise self._no_item(
                        trail[-1], path, number, f"keys: {', '.join(map(str, value)) or 'none'}"
                    )
                value = value[key]
            elif isinstance(value, list) and kind == "i" and isinstance(key, int):
                if not -len(value) <= key < len(value):
                    raise self._no_item(trail[-1], path, number, f"length: {len(value)}")
                value = value[key]
            else:
                return make_placeholder(value, path[number:])
        return self._whole(value, inside=False, trail=trail)

    def _whole(self, value: Any, *, inside: bool, trail: tuple[str, ...]) -> Any:
        """All of ``value``, with the references and blobs in it replaced."""
        self._read_blobs(value)
        self._read_outputs([value])
        return self._filled(value, inside=inside, trail=trail)

    def _filled(self, value: Any, *, inside: bool, trail: tuple[str, ...]) -> Any:
        if _is_blob(value):
            return self._whole(self._unblobbed(value), inside=inside, trail=trail)
        if _is_reference(value):
            return self._decoded_if(inside, self._follow(value, (), trail=trail))
        if isinstance(value, dict):
            below = inside or _is_object(value)
            return {key: self._filled(inner, inside=below, trail=trail) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(inner, inside=inside, trail=trail) for inner in value]
        return value

    # -- what is not there ---------------------------------------------------------------------------------

    def _missing(self, reference: Document, rest: Path) -> Any:
        if self.on_missing == "error":
            raise MissingReferenceError(
                f"{self._who()} needs the output of job {reference['uuid']}, which is not in the output store",
                hint="Rerun that job, or let this one do without it (JobConfig.on_missing_references).",
            )
        left = None if self.on_missing == "none" else reference
        return make_placeholder(left, rest) if rest else left

    def _no_item(self, uuid: str, path: Path, number: int, has: str) -> MissingReferenceError:
        return MissingReferenceError(
            f"{self._who()} refers to {_format_path(path[: number + 1])} of the output of job {uuid}, "
            f"which has no such item ({has})",
            hint="The reference or the output of that job is not what it should be; resubmit with the right one.",
        )

    def _who(self) -> str:
        return f"job {self.job.get('name')!r} ({self.job.get('uuid')})"

    # -- reading -------------------------------------------------------------------------------------------

    def _read_outputs(self, values: list[Any]) -> None:
        """Have the outputs that the references in ``values`` need, by one question."""
        wanted = {found["uuid"] for found in _find_references(values)} - self.outputs.keys() - self.absent
        if wanted:
            self.outputs.update(self.store.read_latest(sorted(wanted)))
            self.absent |= wanted - self.outputs.keys()

    def _read_blobs(self, value: Any) -> None:
        wanted: dict[str, set[str]] = {}
        for blob in find_blobs(value):
            if (blob["store"], blob["blob_uuid"]) not in self.blobs:
                wanted.setdefault(blob["store"], set()).add(blob["blob_uuid"])
        for name, uuids in wanted.items():
            for uuid, data in self.store.read_blobs(name, sorted(uuids)).items():
                self.blobs[name, uuid] = data

    def _unblobbed(self, value: Any) -> Any:
        if not _is_blob(value):
            return value
        self._read_blobs(value)
        key = (value["store"], value["blob_uuid"])
        if key not in self.blobs:
            raise MissingReferenceError(
                f"{self._who()} needs the blob {value['blob_uuid']}, which is not in the additional store "
                f"{value['store']!r}",
                hint="It was removed, or never arrived; rerun the job that made it.",
            )
        return self.blobs[key]
