"""Whether workers answer now, and how quickly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.services.opened import Services

ANSWER_SECONDS = 15.0
"""How long a worker may take to answer, login included."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking a worker right now."""

    round_trip_seconds: float | None = None
    error: str | None = None
    hint: str | None = None


def measure_round_trips(
    services: Services, names: Sequence[str], *, limit_seconds: float = ANSWER_SECONDS
) -> dict[str, Answer]:
    """Ask all workers at the same time how quickly they answer."""

    async def measure() -> dict[str, Answer]:
        try:
            answers = await asyncio.gather(*(_ask(services, name, limit_seconds) for name in names))
            return dict(zip(names, answers, strict=True))
        finally:
            await services.close_hosts()

    return asyncio.run(measure())


async def _ask(services: Services, name: str, limit_seconds: float) -> Answer:
    try:
        async with asyncio.timeout(limit_seconds):
            host = services.host(name)
            await host.run("true", timeout_seconds=limit_seconds)  # logs in, and starts a shell
            begin = time.monotonic()
            await host.run("true", timeout_seconds=limit_seconds)
            return Answer(time.monotonic() - begin)
    except TimeoutError:
        return Answer(error=f"no answer within {limit_seconds:g} s")
    except (JobflowRemoteError, OSError) as error:
        return Answer(error=str(error), hint=getattr(error, "hint", None))
