"""One colour for each state, the same in every picture, page and terminal."""

from __future__ import annotations

from jobflow_remote.model.states import FlowState, JobState

STATE_COLORS: dict[JobState, str] = {
    JobState.WAITING: "#aab2bd",
    JobState.READY: "#8fb8de",
    JobState.CHECKED_OUT: "#7fb0dc",
    JobState.UPLOADED: "#6ea4d8",
    JobState.SUBMITTED: "#5a95d0",
    JobState.RUNNING: "#2f6fc0",
    JobState.TERMINATED: "#4ba3a8",
    JobState.DOWNLOADED: "#3f9a8c",
    JobState.REMOTE_ERROR: "#e08a3c",
    JobState.COMPLETED: "#4fa35f",
    JobState.FAILED: "#cf4b4b",
    JobState.PAUSED: "#b9a3d6",
    JobState.STOPPED: "#9280b5",
    JobState.USER_STOPPED: "#76639c",
    JobState.BATCH_SUBMITTED: "#6f9bd3",
    JobState.BATCH_RUNNING: "#3b7bc6",
}
"""State of a job → colour."""

FLOW_COLORS: dict[FlowState, str] = {
    FlowState.WAITING: STATE_COLORS[JobState.WAITING],
    FlowState.READY: STATE_COLORS[JobState.READY],
    FlowState.RUNNING: STATE_COLORS[JobState.RUNNING],
    FlowState.COMPLETED: STATE_COLORS[JobState.COMPLETED],
    FlowState.FAILED: STATE_COLORS[JobState.FAILED],
    FlowState.PAUSED: STATE_COLORS[JobState.PAUSED],
    FlowState.STOPPED: STATE_COLORS[JobState.STOPPED],
}
"""State of a flow → colour."""


def tint(color: str, share: float = 0.14) -> str:
    """A colour on white: ``share`` of it, the rest paper."""
    parts = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - (255 - part) * share):02x}" for part in parts)
