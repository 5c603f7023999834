"""A certificate authority of one's own for tests, and certificates that it has signed (by ``openssl``)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.services.debian import ServiceMissingError


class Authority:
    """Signs certificates; all files are below ``folder``."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        if shutil.which("openssl") is None:
            raise ServiceMissingError("no openssl in PATH")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", str(self._key), "-out", str(self.certificate),
        )  # fmt: skip

    def issue(self, name: str, *, hosts: str = "IP:127.0.0.1,DNS:localhost") -> Path:
        """A file with a new key and its certificate, for a server on ``hosts`` or a client called ``name``."""
        key, request, signed = (self.folder / f"{name}.{ending}" for ending in ("key", "csr", "crt"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={hosts}\nextendedKeyUsage=serverAuth,clientAuth\n")
        _openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/O=tests/OU={name}/CN={name}",
            "-keyout", str(key), "-out", str(request),
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self._key),
            "-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", str(signed),
        )  # fmt: skip
        both = self.folder / f"{name}.pem"
        both.write_text(key.read_text() + signed.read_text())
        both.chmod(0o600)
        return both


def _openssl(*words: str) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServiceMissingError(f"openssl {words[0]}: {done.stderr.strip()[-500:]}")
