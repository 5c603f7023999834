"""Serialised jobs: how they are made, and what can be read in them without jobflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JOB_FIELDS = frozenset({
    "function", "function_args", "function_kwargs", "output_schema", "uuid", "index", "name", "metadata", "config",
    "hosts", "metadata_updates", "config_updates", "name_updates", "kwargs",
})  # fmt: skip
"""Arguments of every Job; whatever else a serialised job has names an additional store (a test compares them)."""


def stores_used(job: Mapping[str, Any]) -> set[str]:
    """Names of the additional stores that a serialised job puts parts of its output into."""
    return {key for key in job if key not in JOB_FIELDS and not key.startswith("@")}


def flow_names(flow: Any) -> dict[str, str]:
    """uuid → name of a jobflow Flow and of the flows in it: serialised jobs know the uuids only."""
    names = {flow.uuid: flow.name}
    for each in flow.jobs:
        if hasattr(each, "jobs"):
            names |= flow_names(each)
    return names


def serialise_job(job: Any) -> dict[str, Any]:
    """A jobflow Job as a plain document.

    ``Job.as_dict`` leaves objects in the fields of a Maker as they are (enums, say); here they are serialised too,
    with their class.
    """
    from monty.json import jsanitize

    plain: dict[str, Any] = jsanitize(job.as_dict(), strict=True, allow_bson=True)
    return plain
