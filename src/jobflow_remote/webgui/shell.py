"""The frame of every page: head, navigation, and the answer that carries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastcore.xml import to_xml
from fasthtml.components import (
    H1,
    A,
    Body,
    Button,
    Dialog,
    Div,
    Footer,
    Form,
    Head,
    Header,
    Html,
    Input,
    Label,
    Li,
    Link,
    Main,
    Meta,
    Nav,
    P,
    Script,
    Span,
    Title,
    Ul,
)
from starlette.responses import HTMLResponse

from jobflow_remote.webgui.params import Params
from jobflow_remote.webgui.parts import Element, form_key, notice, path_part
from jobflow_remote.webgui.static import static_address
from jobflow_remote.webgui.world import Opened

PAGES = (
    ("", "Overview"), ("/jobs", "Jobs"), ("/flows", "Flows"), ("/batches", "Batches"), ("/report", "Report"),
    ("/runner", "Runner"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """A request, as far as pages need to know it."""

    path: str
    params: Params
    form_key: str
    may_change: bool
    opened: Opened | None = None

    @property
    def root(self) -> str:
        """Where the pages of the project begin."""
        return f"/p/{path_part(self.opened.name)}" if self.opened else ""


def respond(page: Element, *, status: int = 200) -> HTMLResponse:
    """A page, or a part of one, as an answer."""
    return HTMLResponse(to_xml(page, indent=False), status_code=status)


def _head(title: str, *scripts: str) -> Element:
    return Head(
        Meta(charset="utf-8"),
        Meta(name="viewport", content="width=device-width, initial-scale=1"),
        Meta(name="color-scheme", content="light dark"),
        Title(f"{title} · jobflow-remote"),
        Link(rel="icon", href=static_address("favicon.svg"), type="image/svg+xml"),
        Link(rel="stylesheet", href=static_address("style.css")),
        Script(src=static_address("theme.js")),
        *(Script(src=static_address(name), defer=True) for name in scripts),
    )


def document(head: Element, body: Element) -> Element:
    """A whole page."""
    return Html(head, body, lang="en")


def frame(
    seen: Seen, title: str, *content: Any, heading: Any = None, scripts: tuple[str, ...] = ()
) -> Element:
    """A page of the application."""
    live = (
        {
            "data_events": f"{seen.root}/events",
            "data_root": seen.root,
            "data_revision": seen.opened.hub.revision,
        }
        if seen.opened
        else {}
    )
    body = Body(
        A("Skip to content", href="#content", cls="skip"),
        _header(seen),
        Main(heading if heading is not None else H1(title), *content, id="content", tabindex="-1"),
        _footer(seen),
        Dialog(id="dialog", aria_label="Confirmation"),
        Div(id="toasts", role="status", aria_live="polite"),
        data_form_key=seen.form_key,
        **live,
    )
    return document(_head(title, "app.js", *scripts), body)


def _header(seen: Seen) -> Element:
    links = []
    for path, label in PAGES if seen.opened else ():
        here = seen.path == seen.root + path or (path and seen.path.startswith(f"{seen.root}{path}/"))
        links.append(Li(A(label, href=seen.root + path, **({"aria_current": "page"} if here else {}))))
    name = seen.opened.name if seen.opened else "choose a project"
    return Header(
        A(Span("jobflow", cls="brand-1"), Span("remote", cls="brand-2"), href=seen.root or "/", cls="brand"),
        A(name, href="/projects", cls="project", title="Projects", aria_label=f"Project {name}: choose another"),
        Nav(Ul(*links), aria_label="Pages"),
        Span(
            Span("", id="connection", cls="connection", role="status"),
            Button("◐", type="button", id="theme", title="Light, dark, or as the system has it",
                   aria_label="Colours: as the system has it"),
            cls="tools",
        ),
        cls="top",
    )  # fmt: skip


def _footer(seen: Seen) -> Element:
    rights = None if seen.may_change else Span("read-only", cls="tag")
    keys = Button("Keyboard", type="button", id="keys", title="Keyboard shortcuts (?)")
    return Footer(
        A("JSON and metrics", href="/api"),
        keys,
        rights,
        Form(
            form_key(seen.form_key),
            Button("Log out", type="submit"),
            method="post",
            action="/logout",
            cls="inline",
        ),
    )


def bare_page(message: str, hint: str | None = None) -> Element:
    """A page for those who are not let in, or where nothing else can be shown."""
    content = Main(
        H1("jobflow-remote"), notice(message, hint), P(A("Log in", href="/login")), cls="bare", id="content"
    )
    return document(_head("Refused"), Body(content))


def login_page(next_path: str, problem: str | None = None) -> Element:
    """Asks for the token or the password."""
    form = Form(
        Label(Span("Token or password"), Input(type="password", name="secret", required=True, autofocus=True,
                                               autocomplete="current-password")),
        Input(type="hidden", name="next", value=next_path),
        Button("Log in", type="submit", cls="primary"),
        method="post",
        action="/login",
    )  # fmt: skip
    content = Main(
        H1("jobflow-remote"),
        notice(problem) if problem else None,
        form,
        P("The token is part of the address that ", Span("jf gui", cls="mono"), " prints when it starts."),
        cls="bare",
        id="content",
    )
    return document(_head("Log in"), Body(content))
