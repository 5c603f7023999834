"""Who is let in, and which changes are meant."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient
from tests.unit.cli.conftest import World
from tests.unit.webgui.conftest import API, HTML, ROOT, TOKEN, Visitor, let_in, open_client

from jobflow_remote.model.states import JobState

PAUSE = {"action": "pause"}


@pytest.fixture
def job(world: World) -> str:
    """A job that could be paused, as forms name it."""
    return f"{world.add_flow('add')[1][0]}:1"


def state(world: World, job: str) -> str:
    return str(world.job(job.partition(":")[0])["state"])


@pytest.mark.parametrize(
    "path", [ROOT, f"{ROOT}/jobs", f"{ROOT}/events", "/projects", "/api", f"{ROOT}/nowhere"]
)
def test_pages_are_not_shown_to_strangers(client: TestClient, path: str) -> None:
    answer = client.get(path, headers=HTML)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login")


@pytest.mark.parametrize("path", [API, f"{API}/jobs", "/metrics", "/api/v1/openapi.json"])
def test_programs_are_told_what_to_send(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.json()["hint"]
    assert client.get(path, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401


def test_the_token_becomes_a_cookie_and_leaves_the_address(client: TestClient) -> None:
    answer = client.get(f"{ROOT}/jobs?state=FAILED&token={TOKEN}", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ROOT}/jobs?state=FAILED")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert client.get(f"{ROOT}/jobs", headers=HTML).status_code == 200


def test_a_wrong_token_and_forged_cookies_open_nothing(client: TestClient) -> None:
    assert client.get("/?token=wrong", headers=HTML).status_code == 401
    let_in(client)
    ((name, value),) = client.cookies.items()
    for forged in (
        "",
        "x",
        value[:-1] + ("1" if value[-1] == "0" else "0"),
        "a" + value,
        value.replace(".", ".1", 1),
    ):
        client.cookies.clear()
        client.cookies.set(name, forged)
        assert client.get(ROOT, headers=HTML).status_code == 303, forged


def test_a_server_with_the_same_token_knows_the_cookie_and_another_one_does_not(
    world: World, visitor: Visitor
) -> None:
    cookies = dict(visitor.client.cookies.items())
    with open_client() as again:
        again.cookies.update(cookies)
        assert again.get(ROOT, headers=HTML).status_code == 200
    with open_client(token="another one") as other:
        other.cookies.update(cookies)
        assert other.get(ROOT, headers=HTML).status_code == 303


def test_the_password_lets_in_as_well(world: World) -> None:
    with open_client(password="open sesame") as client:
        page = client.get("/login", headers=HTML).text
        assert 'type="password"' in page
        assert client.post("/login", data={"secret": "wrong"}, headers=HTML).status_code == 401
        answer = client.post("/login", data={"secret": "open sesame", "next": f"{ROOT}/jobs"}, headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{ROOT}/jobs")
        assert client.get(f"{ROOT}/jobs", headers=HTML).status_code == 200
        key = Visitor(client).form_key
        assert client.post("/logout", data={"form_key": key}, headers=HTML).status_code == 303
        assert client.get(f"{ROOT}/jobs", headers=HTML).status_code == 303


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""]
)
def test_logging_in_leads_nowhere_else(client: TestClient, target: str) -> None:
    answer = client.post("/login", data={"secret": TOKEN, "next": target})
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5001", "127.0.0.1.evil.example", ""])
def test_the_server_answers_to_its_own_names_only(visitor: Visitor, host: str) -> None:
    assert visitor.client.get(ROOT, headers={**HTML, "host": host}).status_code == 421


@pytest.mark.parametrize(
    "host", ["localhost:5001", "127.0.0.1:9999", "[::1]:5001", "LOCALHOST", "10.0.0.7:5001"]
)
def test_tunnels_may_have_other_ports(visitor: Visitor, host: str) -> None:
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.client.cookies.items())
    assert visitor.client.get(ROOT, headers={**HTML, "host": host, "cookie": cookie}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:8000"},
        {"origin": "http://localhost:5001"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
    ],
)  # fmt: skip
def test_other_sites_change_nothing(
    world: World, visitor: Visitor, job: str, headers: dict[str, str]
) -> None:
    fields = {"form_key": visitor.form_key, "job": job, **PAUSE}
    answer = visitor.client.post(f"{ROOT}/jobs/act", data=fields, headers={**HTML, **headers})
    assert answer.status_code == 403
    assert state(world, job) == JobState.READY


def test_a_stolen_form_changes_nothing(world: World, visitor: Visitor, job: str) -> None:
    with open_client() as other:
        stolen = let_in(other).form_key
    for key in (stolen, "", "x", visitor.form_key[:-1]):
        answer = visitor.client.post(
            f"{ROOT}/jobs/act", data={"form_key": key, "job": job, **PAUSE}, headers=HTML
        )
        assert answer.status_code == 403
    answer = visitor.client.post(f"{ROOT}/jobs/act", data={"job": job, **PAUSE}, headers=HTML)
    assert answer.status_code == 403
    assert state(world, job) == JobState.READY


def test_a_form_without_a_cookie_changes_nothing(world: World, visitor: Visitor, job: str) -> None:
    key = visitor.form_key
    visitor.client.cookies.clear()
    answer = visitor.client.post(
        f"{ROOT}/jobs/act", data={"form_key": key, "job": job, **PAUSE}, headers=HTML
    )
    assert answer.status_code == 401
    assert state(world, job) == JobState.READY


def test_a_get_changes_nothing(world: World, visitor: Visitor, job: str) -> None:
    answer = visitor.client.get(f"{ROOT}/jobs/act?action=pause&job={job}", headers=HTML)
    assert answer.status_code in (404, 405)
    for method in ("PUT", "DELETE", "PATCH"):
        sent = visitor.client.request(method, f"{ROOT}/jobs/act", headers={"x-form-key": visitor.form_key})
        assert sent.status_code == 405
    assert state(world, job) == JobState.READY


def test_read_only_servers_change_nothing_and_show_no_buttons(world: World, job: str) -> None:
    with open_client(read_only=True) as client:
        visitor = let_in(client)
        assert ">Pause<" not in visitor.get("/jobs")
        assert "read-only" in visitor.post("/jobs/act", {"job": job, **PAUSE}, status=403)
        bearer = {"authorization": f"Bearer {TOKEN}"}
        answer = client.post(f"{API}/jobs/act", json={"job": [job], **PAUSE}, headers=bearer)
        assert answer.status_code == 403
    assert state(world, job) == JobState.READY


def test_the_token_in_a_header_needs_no_form(world: World, client: TestClient, job: str) -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    answer = client.post(f"{API}/jobs/act", json={"job": [job], **PAUSE}, headers=bearer)
    assert (answer.status_code, answer.json()["changed"]) == (200, 1)
    assert state(world, job) == JobState.PAUSED


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [(b"{", "application/json", 400), (b"[1]", "application/json", 400), (b"a", "text/plain", 415),
     (b"x=" + b"y" * 8_100_000, "application/x-www-form-urlencoded", 413),
     (b"&".join([b"a=1"] * 250_000), "application/x-www-form-urlencoded", 413)],
)  # fmt: skip
def test_strange_bodies_are_refused(visitor: Visitor, content: bytes, kind: str, status: int) -> None:
    headers = {"content-type": kind, "x-form-key": visitor.form_key}
    assert visitor.client.post(f"{ROOT}/jobs/act", content=content, headers=headers).status_code == status


def test_every_answer_forbids_scripts_of_others(visitor: Visitor) -> None:
    for path in (ROOT, "/login", f"{API}/jobs", "/nowhere", "/static/app.js", f"{ROOT}/jobs/77"):
        headers = visitor.client.get(path, headers=HTML).headers
        assert "script-src 'self'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_only_our_own_files_are_static(client: TestClient) -> None:
    assert client.get("/static/style.css").headers["content-type"].startswith("text/css")
    for name in ("__init__.py", "..%2fkeys.py", "%2e%2e/keys.py", "nothing.css"):
        assert client.get(f"/static/{name}").status_code in (303, 404), name
