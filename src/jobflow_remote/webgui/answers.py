"""From a request to an answer: reading in a thread, errors as pages or JSON, what an error means in HTTP."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from jobflow_remote.errors import (
    ConfigError,
    FilterError,
    JobflowRemoteError,
    NotAllowedError,
    NotFoundError,
    QueueDatabaseAwayError,
)
from jobflow_remote.webgui.gate import wants_html
from jobflow_remote.webgui.pages.projects import problem_page
from jobflow_remote.webgui.params import Params
from jobflow_remote.webgui.parts import notice
from jobflow_remote.webgui.rows import to_json
from jobflow_remote.webgui.shell import Seen, respond
from jobflow_remote.webgui.world import Opened, World

logger = logging.getLogger(__name__)

API = "/api/v1"
FRAGMENT_HEADER = "x-fragment"
"""Sent by our scripts, which want a part of a page and not a page."""


def world_of(request: Request) -> World:
    """The projects of this server."""
    world: World = request.app.state.world
    return world


def opened_of(request: Request) -> Opened:
    """The project that the address names."""
    return world_of(request).open(request.path_params["project"])


def is_api(request: Request) -> bool:
    """Whether a program asks."""
    return request.url.path.startswith(API)


def is_fragment(request: Request) -> bool:
    """Whether our scripts ask for a part of a page."""
    return FRAGMENT_HEADER in request.headers


def seen_by(request: Request, opened: Opened | None = None) -> Seen:
    """The request, as pages see it."""
    visitor = request.state.visitor
    return Seen(
        path=request.url.path,
        params=params_of(request),
        form_key=visitor.form_key,
        may_change=visitor.may_change,
        opened=opened,
    )


def params_of(request: Request) -> Params:
    """What the address says."""
    return Params.from_pairs(request.query_params.multi_items())


def json_answer(content: Any, *, status: int = 200) -> Response:
    """JSON."""
    return Response(to_json(content), status_code=status, media_type="application/json")


def status_of(error: JobflowRemoteError) -> int:
    """What an error is called in HTTP."""
    kinds: tuple[tuple[type[JobflowRemoteError], int], ...] = (
        (NotFoundError, 404), (NotAllowedError, 409), (FilterError, 400), (QueueDatabaseAwayError, 503),
    )  # fmt: skip
    return next((status for kind, status in kinds if isinstance(error, kind)), 500)


def answer_error(
    request: Request, error: Exception, opened: Opened | None = None, *, status: int = 0
) -> Response:
    """An error as whoever asked can use it. What is no error of ours is logged; no page shows a traceback."""
    if isinstance(error, JobflowRemoteError):
        message, hint, status = error.message, error.hint, status or status_of(error)
        if isinstance(error, ConfigError) and opened is None:
            status = 404
    else:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        message, hint = f"{type(error).__name__}: {error}", "the log of `jf gui` says more"
        status = status or 500
    if is_api(request) or not (is_fragment(request) or wants_html(request.headers)):
        return json_answer({"error": message, "hint": hint}, status=status)
    if is_fragment(request):
        kind = "error" if status != 404 else "note"  # that something is not there (yet) is no alarm
        return respond(notice(message, hint, kind=kind), status=status)
    title = "Not found" if status == 404 else "That did not work"
    answer = respond(problem_page(seen_by(request, opened), title, message, hint), status=status)
    if status == 503 and request.method == "GET":
        answer.headers["refresh"] = "5"  # the browser looks again by itself
    return answer


Endpoint = Callable[[Request], Response]


def safe_path(text: str, otherwise: str) -> str:
    """An address of this server, for going back to; anything else is replaced."""
    parts = urlsplit(text)
    inside = (
        text.startswith("/") and not text.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    )
    return text if inside and "\n" not in text and "\r" not in text and "\\" not in text else otherwise
