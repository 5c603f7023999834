"""New inputs for a job that runs again: what people name, put into its arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from jobflow_remote.errors import NotAllowedError


def change_inputs(
    args: Sequence[Any], kwargs: Mapping[str, Any], inputs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments with ``inputs`` in their place.

    Parameters
    ----------
    inputs
        Name of a keyword argument, or number of a positional one (0 is the first) → value.

    Raises
    ------
    NotAllowedError
        If a number is beyond the positional arguments of the job.
    """
    new_args, new_kwargs = list(args), dict(kwargs)
    for key, value in inputs.items():
        if not key.isdecimal():
            new_kwargs[key] = value
            continue
        if int(key) >= len(new_args):
            numbers = f"0 to {len(new_args) - 1}" if new_args else "none"
            raise NotAllowedError(
                f"the job has no positional argument {key}: it has {numbers}",
                hint=f"its keyword arguments: {', '.join(sorted(kwargs)) or 'none'}",
            )
        new_args[int(key)] = value
    return new_args, new_kwargs


def changed_parents(parents: Iterable[str], *, before: Set[str], after: Set[str]) -> list[str]:
    """Parents of a job whose inputs referred to the outputs of ``before`` and now refer to those of ``after``.

    Parents that it has for another reason (the order of its flow, a detour) stay.
    """
    kept = [parent for parent in parents if parent not in before or parent in after]
    return kept + sorted(after - before - set(kept))
