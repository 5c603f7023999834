"""One reader for all browsers, and what it tells."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.unit.cli.conftest import World

from jobflow_remote.control.failures import group_failures
from jobflow_remote.control.news import MOST, NewsReader
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase
from jobflow_remote.webgui.live import Hub, Listener


def test_news_are_told_once(world: World) -> None:
    _, (first, second) = world.add_flow("a b")
    reader = NewsReader(world.queue)
    assert list(reader.read().jobs) == []
    assert list(reader.read().jobs) == []
    world.change(first, JobState.PAUSED)
    news = reader.read()
    assert [(job["uuid"], job["state"]) for job in news.jobs] == [(first, "PAUSED")]
    assert [flow["state"] for flow in news.flows] == ["PAUSED"]
    assert not news.incomplete
    assert list(reader.read().jobs) == []
    world.add_flow("c")
    assert [job["job"]["name"] for job in reader.read().jobs] == ["c"]
    assert second


def test_too_many_news_and_deletions_are_told_as_incomplete(world: World) -> None:
    reader = NewsReader(world.queue)
    reader.read()
    assert not reader.misses_some()
    flow, _ = world.add_flow(" ".join(f"n{n}" for n in range(MOST + 5)))
    assert reader.read().incomplete
    assert not reader.read().incomplete
    assert not reader.misses_some()
    world.queue.delete_flows([flow])
    assert not reader.read().jobs
    assert reader.misses_some()
    assert not reader.misses_some()


def test_failures_with_one_reason_are_one_cause(world: World) -> None:
    for number in range(3):
        _, (uuid,) = world.add_flow("a")
        world.run_job(uuid, JobState.FAILED, error=f"x\nKeyError: 'atom {number}' in /home/user{number}/file")
    _, (uuid,) = world.add_flow("b")
    world.run_job(uuid, JobState.REMOTE_ERROR, remote__error="HostError: no")
    causes = group_failures(world.queue)
    assert [(cause.number, cause.state, cause.names) for cause in causes] == [
        (3, "FAILED", ("a",)),
        (1, "REMOTE_ERROR", ("b",)),
    ]
    assert causes[0].text.endswith("/home/user2/file")


async def _events(listener: Listener, number: int) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    async for raw in listener.stream():
        lines = dict(
            line.split(": ", 1) for line in raw.decode().splitlines() if ": " in line and line[0] != ":"
        )
        if lines.get("event"):
            kind, content = lines["event"], json.loads(lines["data"])
            if kind == "hello" or content["jobs"]:  # a database may say that it changed without need
                found.append((kind, content))
        if len(found) == number:
            break
    return found


@pytest.mark.parametrize("browsers", [1, 5])
def test_all_browsers_share_one_reader(world: World, browsers: int) -> None:
    opened: list[SQLiteQueueDatabase] = []

    def open_queue() -> SQLiteQueueDatabase:
        opened.append(SQLiteQueueDatabase(world.folder / "tutorial" / "queue.sqlite"))
        return opened[-1]

    _, (uuid,) = world.add_flow("a")
    hub = Hub(open_queue)

    async def watch() -> list[list[tuple[str, Any]]]:
        import contextlib

        with contextlib.ExitStack() as stack:
            listeners = [stack.enter_context(hub.listen()) for _ in range(browsers)]
            watching = [asyncio.create_task(_events(each, 2)) for each in listeners]
            while not all(task.done() for task in watching):
                if opened:
                    state = world.job(uuid)["state"]
                    world.change(uuid, JobState.PAUSED if state == "READY" else JobState.READY)
                await asyncio.sleep(0.3)
            return await asyncio.gather(*watching)

    for events in asyncio.run(watch()):
        assert [kind for kind, _ in events] == ["hello", "news"]
        assert events[0][1]["revision"] != events[1][1]["revision"]
        assert [job["uuid"] for job in events[1][1]["jobs"]] == [uuid]
    assert len(opened) == 1
    assert hub.listening == 0


def test_browsers_are_told_when_jobs_are_gone(world: World) -> None:
    flow, _ = world.add_flow("a")
    hub = Hub(lambda: SQLiteQueueDatabase(world.folder / "tutorial" / "queue.sqlite"))

    async def watch() -> dict[str, Any]:
        with hub.listen() as listener:
            async for raw in listener.stream():
                event, _, data = raw.decode().partition("\n")
                content = json.loads(data.removeprefix("data: ")) if event.startswith("event") else {}
                if event == "event: hello":
                    world.queue.delete_flows([flow])
                elif content.get("incomplete"):
                    return dict(content)
        raise AssertionError("the stream has ended")

    assert asyncio.run(asyncio.wait_for(watch(), 20))["jobs"] == []


def test_a_slow_browser_is_told_to_look_again() -> None:
    async def be_slow() -> list[tuple[str, Any]]:
        listener = Listener(asyncio.get_running_loop())
        for number in range(200):
            listener.tell(b"event: news\ndata: " + str(number).encode() + b"\n\n")
        await asyncio.sleep(0)
        listener.tell(None)
        events = []
        async for raw in listener.stream():
            events.append(raw)
        return [("all", len(events))]

    ((_, number),) = asyncio.run(be_slow())
    assert number < 40
