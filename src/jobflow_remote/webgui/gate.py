"""The gate in front of all pages: who asks, from where, and whether a change was meant.

Every request passes here, so that no page can forget it:

* it must call the server by one of its own names (a page of another site that points its name here is refused);
* it must show the cookie, or the token as ``Authorization: Bearer``; the token in the address is exchanged for the
  cookie and disappears from the address;
* a change must be a POST whose ``Origin`` is this server, with the key that forms of this visitor carry. Whoever shows
  the token in a header needs no key: no other site can make a browser do that;
* every answer says that a browser may load nothing from elsewhere, run no script but our files, and put us in no frame.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobflow_remote.webgui.keys import COOKIE_SECONDS, Keys
from jobflow_remote.webgui.options import GuiOptions

FORM_KEY, FORM_KEY_HEADER = "form_key", "x-form-key"
MAX_BODY_BYTES = 8_000_000
MAX_FIELDS = 200_000
_OPEN_PATHS = ("/static/", "/login")
_SAFE = ("GET", "HEAD")
_WRONG_SECRET_SECONDS = 0.5
_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
        "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'", "manifest-src 'self'",
    )
)  # fmt: skip
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), camera=(), microphone=()",
}
Form = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, as pages see it."""

    form_key: str = ""
    may_change: bool = False


class _Refused(Exception):
    """With the answer."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint


class Gate:
    """ASGI middleware. Handlers find ``state.visitor``, and ``state.form`` of a POST."""

    def __init__(self, app: ASGIApp, options: GuiOptions, keys: Keys) -> None:
        self._app, self._options, self._keys = app, options, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is spoken here")
        answer: Response | None
        try:
            answer = await self._examine(Request(scope, receive))
        except _Refused as refused:
            answer = _refuse(Request(scope), refused)
        await (answer or self._app)(scope, receive, _guarded(send, scope["path"]))

    async def _examine(self, request: Request) -> Response | None:
        """The answer, if the request goes no further."""
        self._check_host(request)
        path = request.url.path
        if request.method in _SAFE and (token := request.query_params.get("token")):
            return await self._exchange(request, token)
        cookie = request.cookies.get(self._keys.cookie_name, "")
        known = bool(cookie) and self._keys.reads(cookie)
        bearer = self._shows_token(request)
        if bearer is False:
            await asyncio.sleep(_WRONG_SECRET_SECONDS)
            raise _Refused(401, "the token is wrong", "`jf gui` prints the right one when it starts")
        request.state.visitor = Visitor(
            self._keys.form_key(cookie) if known else "", may_change=not self._options.read_only
        )
        if request.method not in _SAFE:
            self._check_origin(request)
            request.state.form = await _read_form(request)
        if path.startswith(_OPEN_PATHS):
            return None
        if not known and not bearer:
            return _ask_in(request)
        if request.method not in _SAFE:
            self._check_change(request, cookie, bearer=bool(bearer))
        return None

    def _check_host(self, request: Request) -> None:
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if name.lower() not in self._options.host_names and not _is_address(name):
            raise _Refused(
                421,
                f"this server is not called {name!r}",
                "start it with `jf gui --allow-host NAME` if it is",
            )

    async def _exchange(self, request: Request, token: str) -> Response:
        """The token in the address becomes a cookie; the address without it is opened."""
        if not self._keys.opens(token):
            await asyncio.sleep(_WRONG_SECRET_SECONDS)
            raise _Refused(
                401,
                "the token in the address is wrong, or of a server that has ended",
                "`jf gui` prints the address",
            )
        rest = [(key, value) for key, value in request.query_params.multi_items() if key != "token"]
        answer = RedirectResponse(request.url.path + (f"?{urlencode(rest)}" if rest else ""), status_code=303)
        give_cookie(answer, self._keys)
        return answer

    def _shows_token(self, request: Request) -> bool | None:
        """Whether the right token is in the headers; None: none is."""
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        return self._keys.opens(value.strip()) if kind.lower() == "bearer" else None

    def _check_origin(self, request: Request) -> None:
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
        same = origin is None or urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
        if not same or site not in ("same-origin", "none"):
            raise _Refused(403, "a page of another site asked for a change; nothing was changed")

    def _check_change(self, request: Request, cookie: str, *, bearer: bool) -> None:
        if request.method != "POST":
            raise _Refused(405, f"{request.method} is not understood; changes are made by POST")
        if self._options.read_only and request.url.path != "/logout":
            raise _Refused(
                403, "this server is read-only; nothing was changed", "start `jf gui` without --read-only"
            )
        if bearer:
            return
        form: Form = request.state.form
        key = request.headers.get(FORM_KEY_HEADER) or (form.get(FORM_KEY) or [""])[0]
        if not self._keys.is_form_key(key, cookie):
            raise _Refused(
                403,
                "the form is not one of this session; nothing was changed",
                "reload the page and try again",
            )


def _is_address(name: str) -> bool:
    """Whether this is a number and no name: nobody can make a name of theirs out of it."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def give_cookie(answer: Response, keys: Keys) -> None:
    """Let a browser in from now on: readable by this server only, sent by pages of this server only."""
    answer.set_cookie(
        keys.cookie_name,
        keys.new_cookie(),
        max_age=COOKIE_SECONDS,
        path="/",
        httponly=True,
        samesite="strict",
    )


async def _read_form(request: Request) -> Form:
    """Fields of a form, or of a JSON object."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(413, "too much was sent", "select by a filter rather than one by one")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    text = body.decode("utf-8", "replace")
    if kind == "application/json":
        return _fields_of_json(text)
    if body and kind != "application/x-www-form-urlencoded":
        raise _Refused(415, f"{kind or 'this'} is not understood", "send a form or JSON")
    if text.count("&") > MAX_FIELDS:
        raise _Refused(413, "too much was sent", "select by a filter rather than one by one")
    return parse_qs(text, keep_blank_values=True)


def _fields_of_json(text: str) -> Form:
    try:
        content: Any = json.loads(text)
    except json.JSONDecodeError as exc:
        raise _Refused(400, f"this is no JSON: {exc}") from None
    if not isinstance(content, dict):
        raise _Refused(400, "a JSON object is needed")
    return {
        str(key): [each if isinstance(each, str) else json.dumps(each) for each in value]
        if isinstance(value, list)
        else [value if isinstance(value, str) else json.dumps(value)]
        for key, value in content.items()
        if value is not None
    }


def wants_html(headers: Headers) -> bool:
    """Whether a person looks at the answer."""
    return "text/html" in headers.get("accept", "")


def _ask_in(request: Request) -> Response:
    if wants_html(request.headers) and request.method in _SAFE:
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(
            f"/login?{urlencode({'next': path})}" if path != "/" else "/login", status_code=303
        )
    return JSONResponse(
        {
            "error": "nobody is let in without the token",
            "hint": "send `Authorization: Bearer TOKEN`; `jf gui` prints it",
        },
        status_code=401,
        headers={"www-authenticate": "Bearer"},
    )


def _refuse(request: Request, refused: _Refused) -> Response:
    if wants_html(request.headers):
        from jobflow_remote.webgui.shell import bare_page, respond

        return respond(bare_page(refused.message, refused.hint), status=refused.status)
    return JSONResponse({"error": refused.message, "hint": refused.hint}, status_code=refused.status)


def _guarded(send: Send, path: str) -> Send:
    """Add the headers that every answer has."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if not path.startswith("/static/"):
                headers["cache-control"] = "no-store"
        await send(message)

    return send_with_headers
