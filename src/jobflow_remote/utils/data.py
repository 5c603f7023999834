"""Small functions on plain data that scripts of jobflow-remote 1.0.1 import."""

from __future__ import annotations

import os
import uuid as uuids
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobflow_remote.model.clock import to_local

if TYPE_CHECKING:
    from maggma.core import Store

__all__ = [
    "check_dict_keywords",
    "check_valid_uuid",
    "convert_utc_time",
    "deep_merge_dict",
    "remove_none",
    "store_from_dict",
    "suuid",
    "uuid_to_path",
]


def deep_merge_dict(
    d1: dict[str, Any],
    d2: Mapping[str, Any],
    path: list[str] | None = None,
    raise_on_conflicts: bool = True,
    inplace: bool = True,
) -> dict[str, Any]:
    """``d1`` with what ``d2`` has, dictionaries within them merged key by key.

    >>> deep_merge_dict({"a": {"b": 1}}, {"a": {"c": 2}})
    {'a': {'b': 1, 'c': 2}}

    Parameters
    ----------
    path
        Keys that lead to the two dictionaries, for the message of an error.
    raise_on_conflicts
        Refuse two values for one key; without it that of ``d2`` counts.
    inplace
        Change ``d1`` itself.

    Raises
    ------
    ValueError
        If both have different values for a key.
    """
    merged = d1 if inplace else dict(d1)
    for key, new in d2.items():
        here = [*(path or []), str(key)]
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(new, Mapping):
            merged[key] = deep_merge_dict(old, new, here, raise_on_conflicts, inplace)
        elif key in merged and old != new and raise_on_conflicts:
            raise ValueError(f"two values for {'.'.join(here)}: {old!r} and {new!r}")
        else:
            merged[key] = new
    return merged


def uuid_to_path(uuid: str, index: int | None = 1, num_subdirs: int = 3, subdir_len: int = 2) -> str:
    """The run folder of a job, below the worker's ``work_dir``.

    >>> uuid_to_path("0bcfe83a-501d-41ee-b3ca-d738e14fbf05", 2)
    '0b/cf/e8/0bcfe83a-501d-41ee-b3ca-d738e14fbf05_2'

    Raises
    ------
    ValueError
        If it is no uuid.
    """
    check_valid_uuid(uuid)
    flat = uuid.replace("-", "")
    above = [flat[n * subdir_len : (n + 1) * subdir_len] for n in range(num_subdirs)]
    return os.path.join(*above, uuid if index is None else f"{uuid}_{index}")


def check_valid_uuid(uuid_str: str) -> None:
    """Refuse what is no uuid in its usual form.

    Raises
    ------
    ValueError
        If it is not one.
    """
    try:
        valid = str(uuids.UUID(uuid_str)) == uuid_str
    except (ValueError, AttributeError, TypeError):
        valid = False
    if not valid:
        raise ValueError(f"{uuid_str!r} is not a uuid such as {uuids.UUID(int=0)}")


def suuid() -> str:
    """A new random uuid, as text."""
    return str(uuids.uuid4())


def remove_none(obj: Any) -> Any:
    """The same without values that are None, at any depth.

    >>> remove_none({"a": None, "b": [1, None, {"c": None}]})
    {'b': [1, {}]}
    """
    if isinstance(obj, dict):
        return {key: remove_none(value) for key, value in obj.items() if value is not None}
    if isinstance(obj, list | tuple | set):
        return type(obj)(remove_none(value) for value in obj if value is not None)
    return obj


def check_dict_keywords(obj: Any, keywords: Iterable[str]) -> bool:
    """Whether one of the keywords is a key of a dictionary, at any depth.

    >>> check_dict_keywords({"a": [{"_set": 1}]}, ["_set"])
    True
    """
    wanted = set(keywords)
    if isinstance(obj, Mapping):
        return not wanted.isdisjoint(obj) or any(check_dict_keywords(each, wanted) for each in obj.values())
    if isinstance(obj, list | tuple | set):
        return any(check_dict_keywords(each, wanted) for each in obj)
    return False


def convert_utc_time(datetime_value: datetime) -> datetime:
    """A moment of a document (UTC, naive) in the time zone of this machine."""
    return to_local(datetime_value)


def store_from_dict(store_dict: Mapping[str, Any]) -> Store:
    """The maggma store that a description (with its ``type``, or serialised) stands for, not connected.

    Raises
    ------
    ConfigError
        If it cannot be made from the description.
    """
    from jobflow_remote.outputs.jobstore import store_from_spec

    return store_from_spec(store_dict)
