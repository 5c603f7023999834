"""Files that browsers load: one style sheet and our own scripts, addressed by their content."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def read_static(name: str) -> bytes | None:
    """A file of this folder; None if there is none of that name that browsers may have."""
    here = files(__package__)
    for each in here.iterdir():
        if each.name == name and name[name.rfind(".") :] in KINDS:
            return each.read_bytes()
    return None


@cache
def static_address(name: str) -> str:
    """Where a file is; another content has another address, so that browsers may keep it."""
    return f"/static/{name}?{sha256(read_static(name) or b'').hexdigest()[:12]}"
