"""A project with a few jobs, and a browser of sorts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("fasthtml", reason="the extra `gui` is not installed")

from starlette.testclient import TestClient
from tests.unit.cli.conftest import World, world

from jobflow_remote.webgui.app import make_app
from jobflow_remote.webgui.options import GuiOptions

__all__ = ["world"]

TOKEN = "the-token"
HTML = {"accept": "text/html"}
ROOT = "/p/tutorial"
API = "/api/v1/projects/tutorial"


@dataclass
class Visitor:
    """Somebody who was let in."""

    client: TestClient

    def get(self, path: str, *, status: int = 200, **headers: str) -> str:
        """A page of the project."""
        answer = self.client.get(ROOT + path, headers={**HTML, **headers})
        assert answer.status_code == status, answer.text
        return answer.text

    def json(self, path: str, *, status: int = 200) -> Any:
        """The same as JSON."""
        answer = self.client.get(API + path)
        assert answer.status_code == status, answer.text
        return answer.json()

    @property
    def form_key(self) -> str:
        """What its forms carry."""
        found = re.search(r'data-form-key="([0-9a-f]{64})"', self.client.get("/projects", headers=HTML).text)
        assert found
        return found[1]

    def post(self, path: str, fields: dict[str, Any], *, status: int = 200, **headers: str) -> str:
        """Send a form, as our scripts do."""
        answer = self.client.post(
            ROOT + path,
            data={"form_key": self.form_key, **fields},
            headers={**HTML, "x-fragment": "1", "origin": "http://127.0.0.1:5001", **headers},
        )
        assert answer.status_code == status, answer.text
        text = answer.text
        while task := re.search(r'data-task="([^"]+)"', text):  # it takes its time
            time.sleep(0.05)
            text = self.client.get(task[1], headers={**HTML, "x-fragment": "1"}).text
        return text


def open_client(**options: Any) -> TestClient:
    """A browser without a cookie."""
    return TestClient(
        make_app(GuiOptions(**{"token": TOKEN, **options})),
        base_url="http://127.0.0.1:5001",
        follow_redirects=False,
    )


def let_in(client: TestClient) -> Visitor:
    """Show the token."""
    answer = client.get("/", params={"token": TOKEN})
    assert answer.status_code == 303
    return Visitor(client)


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    """A browser without a cookie."""
    with open_client() as opened:
        yield opened


@pytest.fixture
def visitor(client: TestClient) -> Visitor:
    """Somebody who was let in."""
    return let_in(client)
