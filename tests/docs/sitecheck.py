"""Build the site, and look whether it needs anything from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?=[^>]*rel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"'\s)]+)",
)


def build_site(target: Path) -> subprocess.CompletedProcess[str]:
    """What ``make docs`` builds, in ``target``."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def external_resources(site: Path) -> list[str]:
    """Scripts, styles, fonts and pictures that a browser would fetch from another server."""
    found = set()
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        for match in _FETCHED.finditer(path.read_text(encoding="utf-8")):
            found.add(next(filter(None, match.groups())))
    for path in site.rglob("*.html"):  # the theme's own script draws such elements with one from elsewhere
        if re.search(r"class=[\"']?mermaid", path.read_text(encoding="utf-8")):
            found.add(f"mermaid, for {path.name}")
    return sorted(found)
