"""The application: addresses, and what answers them."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from jobflow_remote.errors import JobflowRemoteError, NotFoundError
from jobflow_remote.webgui import changing, metrics, openapi
from jobflow_remote.webgui.answers import (
    API,
    answer_error,
    is_api,
    json_answer,
    opened_of,
    params_of,
    safe_path,
    seen_by,
    world_of,
)  # fmt: skip
from jobflow_remote.webgui.gate import Gate, give_cookie
from jobflow_remote.webgui.jobactions import first
from jobflow_remote.webgui.keys import Keys
from jobflow_remote.webgui.options import GuiOptions
from jobflow_remote.webgui.pages import jobparts, projects
from jobflow_remote.webgui.shell import login_page, respond
from jobflow_remote.webgui.static import KINDS, read_static
from jobflow_remote.webgui.views import VIEWS, Asked, View
from jobflow_remote.webgui.world import World

_THREADS = 16
"""Requests that are worked on at a time; the database has a handle for each thread."""


def make_app(options: GuiOptions, world: World | None = None) -> Starlette:
    """The web application."""
    world = world or World(first=options.project, read_only=options.read_only)
    keys = Keys(options)
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(Gate, options=options, keys=keys)],
        lifespan=_lifespan,
        exception_handlers={404: _not_found},
    )
    app.state.world, app.state.keys = world, keys
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: Any) -> AsyncIterator[None]:
    import anyio.to_thread

    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    gc.collect()
    gc.freeze()  # what was imported stays; no collection needs to look at it
    try:
        yield
    finally:
        app.state.world.close()


def _routes() -> list[Route]:
    routes = [
        Route("/", _home),
        Route("/login", _show_login),
        Route("/login", _log_in, methods=["POST"]),
        Route("/logout", _log_out, methods=["POST"]),
        Route("/static/{name}", _static),
        Route("/projects", _projects),
        Route(f"{API}/projects", _projects),
        Route("/metrics", metrics.answer),
        Route("/api", openapi.show),
        Route(f"{API}/openapi.json", openapi.answer),
        Route("/p/{project}/events", _events),
        Route("/p/{project}/jobs/{key}/file", _file),
        Route(f"{API}/projects/{{project}}/jobs/{{key}}/file", _file),
    ]
    for root in ("/p/{project}", f"{API}/projects/{{project}}"):
        routes += [
            Route(f"{root}/jobs/act", changing.change_jobs, methods=["POST"]),
            Route(f"{root}/flows/act", changing.change_flows, methods=["POST"]),
            Route(f"{root}/runner/act", changing.change_runner, methods=["POST"]),
            Route(f"{root}/tasks/{{key}}", changing.show_task),
        ]
        routes += [Route(root + view.path, _endpoint(view)) for view in VIEWS]
    return routes


def _endpoint(view: View) -> Callable[[Request], Response]:
    def show(request: Request) -> Response:
        opened = None
        try:
            opened = opened_of(request)
            data = view.read(Asked(opened, params_of(request), request.path_params.get("key", "")))
            if is_api(request) or view.render is None:
                return json_answer(data)
            return respond(view.render(seen_by(request, opened), data))
        except JobflowRemoteError as error:
            if view.refused and opened and not is_api(request):
                return respond(view.refused(seen_by(request, opened), error), status=400)
            return answer_error(request, error, opened)
        except Exception as error:  # noqa: BLE001  # it is logged, and whoever asked is told
            return answer_error(request, error, opened)

    return show


def _home(request: Request) -> Response:
    name = world_of(request).default_name()
    from jobflow_remote.webgui.parts import path_part

    return RedirectResponse(f"/p/{path_part(name)}" if name else "/projects", status_code=303)


def _projects(request: Request) -> Response:
    data = projects.read(world_of(request))
    return json_answer(data) if is_api(request) else respond(projects.render(seen_by(request), data))


def _show_login(request: Request) -> Response:
    return respond(login_page(safe_path(request.query_params.get("next", "/"), "/")))


async def _log_in(request: Request) -> Response:
    keys: Keys = request.app.state.keys
    target = safe_path(first(request.state.form, "next"), "/")
    if not keys.opens(first(request.state.form, "secret")):
        import asyncio

        await asyncio.sleep(0.5)
        return respond(login_page(target, "That is neither the token nor the password."), status=401)
    answer = RedirectResponse(target, status_code=303)
    give_cookie(answer, keys)
    return answer


def _log_out(request: Request) -> Response:
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(request.app.state.keys.cookie_name, path="/", httponly=True, samesite="strict")
    return answer


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    content = read_static(name)
    if content is None:
        return Response("not found", status_code=404)
    kept = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(content, media_type=KINDS[name[name.rfind(".") :]], headers=kept)


async def _events(request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool

    try:
        opened = await run_in_threadpool(opened_of, request)
    except JobflowRemoteError as error:
        return answer_error(request, error)

    async def stream() -> AsyncIterator[bytes]:
        with opened.hub.listen() as listener:
            async for event in listener.stream():
                yield event

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def _file(request: Request) -> Response:
    """A file of a run folder, always to be saved and never to be shown: it may be a page."""
    opened = None
    try:
        opened = opened_of(request)
        asked = Asked(opened, params_of(request), request.path_params["key"])
        name = request.query_params.get("name", "")
        content = jobparts.fetch_file(opened, asked.key, asked.index, name)
    except JobflowRemoteError as error:
        return answer_error(request, error, opened)
    from urllib.parse import quote

    shown = quote(name.rpartition("/")[2], safe="")
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{shown}"}
    return Response(content, media_type="application/octet-stream", headers=headers)


def _not_found(request: Request, error: Exception) -> Response:
    if not hasattr(request.state, "visitor"):
        return Response("not found", status_code=404)
    return answer_error(request, NotFoundError(f"there is no page {request.url.path}"), status=404)
