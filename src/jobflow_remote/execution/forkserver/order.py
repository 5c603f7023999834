"""What a fork server is asked for, and what it answers, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from jobflow_remote.layout import QUEUE_ERR_FILENAME, QUEUE_OUT_FILENAME

Message = dict[str, Any]

EXIT_NO_FOLDER = 98
"""The run folder is not there, or cannot be entered: what a submission script says of it."""
EXIT_DUPLICATE = 97
"""Another process has this attempt; nothing was touched."""
EXIT_NOT_STARTED = 71
"""The process could not be started (out of processes, say)."""


@dataclass(frozen=True, slots=True)
class Order:
    """One job to be run."""

    id: str
    """Names the job in answers and signals."""
    folder: str
    attempt: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that the job has beside those of the server."""
    cores: tuple[int, ...] = ()
    """Processors that the job may use; none named: all that the server has."""
    script: str | None = None
    """A script in the folder that is run by bash, instead of the job's function in this process."""
    reuse: bool = False
    """The process may have run other jobs before, and may run others after."""
    stdout: str = QUEUE_OUT_FILENAME
    stderr: str = QUEUE_ERR_FILENAME

    def as_message(self) -> Message:
        """The order as it travels."""
        return {"op": "start", **asdict(self)}

    @classmethod
    def from_message(cls, message: Message) -> Order:
        """The order of :meth:`as_message`."""
        values = {key: value for key, value in message.items() if key != "op"}
        return cls(**{**values, "cores": tuple(values.get("cores") or ())})


def exit_code_of(status: int) -> int:
    """The exit code as a shell would tell it of a status of ``wait``: 128 + n for signal n."""
    import os

    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
