"""What happens in a project, told to all browsers that look: one reader for all of them, none when nobody looks.

The reader is a thread with a database handle of its own, so that what this server writes is news to it as well. It
asks whether anything changed, and reads only then; what it read is put into words once and handed to each browser.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from secrets import token_hex
from typing import Any

from jobflow_remote.control.news import News, NewsReader
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.webgui.rows import flow_row, job_row, to_json

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
_REST_FACTOR = 2
"""The reader rests this many times as long as the last reading took, so that a slow database is not busy with it."""
_COUNT_FACTOR = 10
"""Documents are counted, to notice that some are gone; for so many times as long as that takes they are not."""
_LATE_SECONDS = 3.0
"""By so much counting is put off when something else is to be told."""
_GONE = News([], [], incomplete=True)
_AWAY_SECONDS = 2.0
_PING_SECONDS = 15.0
_WAITING = 32
"""Events that may wait for a slow browser; then it is told to read everything anew."""

LOOK_AGAIN = json.dumps({"incomplete": True})


def render_event(kind: str, content: str) -> bytes:
    """A server-sent event."""
    return f"event: {kind}\ndata: {content}\n\n".encode()


class Listener:
    """One browser."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)

    def tell(self, event: bytes | None) -> None:
        """Hand an event over, from any thread; None ends the stream."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._put, event)

    def _put(self, event: bytes | None) -> None:
        if self._events.full():
            while not self._events.empty():
                self._events.get_nowait()
            self._events.put_nowait(render_event("news", LOOK_AGAIN))
        self._events.put_nowait(event)

    async def stream(self) -> AsyncIterator[bytes]:
        """What goes to the browser, until either side ends it."""
        yield b"retry: 1000\n\n"
        while True:
            try:
                event = await asyncio.wait_for(self._events.get(), _PING_SECONDS)
            except TimeoutError:
                event = b": still here\n\n"
            if event is None:
                return
            yield event


class Hub:
    """Listeners of one project, and the reader that serves them."""

    def __init__(self, open_queue: Callable[[], QueueDatabase]) -> None:
        self._open_queue = open_queue
        self._listeners: set[Listener] = set()
        self._lock = threading.Lock()
        self._reader: threading.Thread | None = None
        self._stop = threading.Event()
        self._hello: bytes | None = None
        """What browsers are told first; None while the reader has not read anything."""
        self.revision = ""
        """Names what the reader has seen; another one tells a page that it has missed something."""
        self.looks = 0
        """How often the database was read because it had changed."""

    @property
    def listening(self) -> int:
        """Number of browsers that look."""
        return len(self._listeners)

    @contextlib.contextmanager
    def listen(self) -> Iterator[Listener]:
        """A browser, as long as it looks. To be entered in the event loop."""
        listener = Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
            if self._reader is None:
                self._stop = threading.Event()
                self._reader = threading.Thread(
                    target=self._read, args=(self._stop,), name="changes", daemon=True
                )
                self._reader.start()
            elif self._hello:
                listener.tell(self._hello)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)
                if not self._listeners:
                    self._stop.set()
                    self._reader, self._hello, self.revision = None, None, ""

    def close(self) -> None:
        """End all streams."""
        with self._lock:
            self._stop.set()
        self._tell(None)

    def _tell(self, event: bytes | None) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.tell(event)

    def _note(self, revision: str, stop: threading.Event, *, tell: bool = False) -> None:
        """This is what has been seen; a reader that was told to end says nothing any more."""
        with self._lock:
            if stop.is_set():
                return
            self.revision = revision
            self._hello = render_event("hello", to_json({"revision": revision}))
            hello = self._hello
        if tell:
            self._tell(hello)

    def _read(self, stop: threading.Event) -> None:
        """The reader's thread."""
        while not stop.is_set():
            try:
                with contextlib.closing(self._open_queue()) as queue:
                    self._watch(queue, stop)
            except JobflowRemoteError as error:
                self._tell(render_event("away", to_json({"why": error.message})))
                stop.wait(_AWAY_SECONDS)
            except Exception:
                logger.exception("the reader of changes failed")
                stop.wait(_AWAY_SECONDS)

    def _watch(self, queue: QueueDatabase, stop: threading.Event) -> None:
        reader = NewsReader(queue)
        queue.changed_by_others()
        reader.read()
        reader.misses_some()
        series = token_hex(4)
        self._note(f"{series}-0", stop, tell=True)
        rest, uncounted, next_count = LOOK_SECONDS, False, 0.0
        while not stop.wait(rest):
            began, changed = time.monotonic(), queue.changed_by_others()
            if changed:
                self._tell_news(series, reader.read(), stop)
                uncounted = True
            rest = max(LOOK_SECONDS, _REST_FACTOR * (time.monotonic() - began))
            if uncounted and began >= next_count + (_LATE_SECONDS if changed else 0):
                uncounted, counting = False, time.monotonic()
                if reader.misses_some():
                    self._tell_news(series, _GONE, stop)
                next_count = time.monotonic() + _COUNT_FACTOR * (time.monotonic() - counting)

    def _tell_news(self, series: str, news: News, stop: threading.Event) -> None:
        self.looks += 1
        self._note(f"{series}-{self.looks}", stop)
        self._tell(render_event("news", to_json({"revision": self.revision, **plain_news(news)})))


def plain_news(news: News) -> dict[str, Any]:
    """News as browsers get them."""
    return {
        "jobs": [job_row(job) for job in news.jobs],
        "flows": [flow_row(flow) for flow in news.flows],
        "incomplete": news.incomplete,
    }
