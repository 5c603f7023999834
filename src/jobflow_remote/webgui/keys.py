"""Who is let in: the token, the password, the cookie that a browser gets for them, and what its forms must carry.

Nothing is kept: a cookie says by its signature that this server gave it, and a form belongs to one cookie.
"""

from __future__ import annotations

import hmac
import time
from hashlib import sha256
from secrets import token_urlsafe

from jobflow_remote.webgui.options import GuiOptions

COOKIE_SECONDS = 30 * 24 * 3600


class Keys:
    """The secrets of one server. A server started again with the same token knows its cookies."""

    def __init__(self, options: GuiOptions) -> None:
        self._open = tuple(secret for secret in (options.token, options.password) if secret)
        self._signing = hmac.digest(options.token.encode(), b"jobflow-remote cookies", sha256)
        self.cookie_name = f"jobflow_remote_{options.port}"

    def opens(self, secret: str) -> bool:
        """Whether this is the token, or the password."""
        given = secret.encode()
        right = [
            hmac.compare_digest(given, one.encode()) for one in self._open
        ]  # all, so that time tells nothing
        return any(right)

    def _sign(self, what: str, text: str) -> str:
        return hmac.new(self._signing, f"{what}:{text}".encode(), sha256).hexdigest()

    def new_cookie(self) -> str:
        """Value of a cookie for somebody who was let in."""
        content = f"{token_urlsafe(18)}.{int(time.time())}"
        return f"{content}.{self._sign('cookie', content)}"

    def reads(self, cookie: str) -> bool:
        """Whether we gave this cookie, and not too long ago."""
        content, _, signature = cookie.rpartition(".")
        given_on = content.rpartition(".")[2]
        if not given_on.isdigit() or not hmac.compare_digest(
            signature.encode(), self._sign("cookie", content).encode()
        ):
            return False
        return time.time() - int(given_on) < COOKIE_SECONDS

    def form_key(self, cookie: str) -> str:
        """What each form for the holder of this cookie carries."""
        return self._sign("form", cookie)

    def is_form_key(self, key: str, cookie: str) -> bool:
        """Whether a form was made for the holder of this cookie."""
        return hmac.compare_digest(key.encode(), self.form_key(cookie).encode())
