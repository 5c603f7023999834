"""Lines of JSON over a pair of descriptors, without ever making the other end wait."""

from __future__ import annotations

import json
import os
from typing import Any

_PIECE_BYTES = 65536


class Channel:
    """One end of a conversation; the descriptors may be the same (a socket)."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        self.closed = False
        """The other end is gone."""
        self._arrived = b""
        self._unsent = b""
        for descriptor in {reading, writing}:
            os.set_blocking(descriptor, False)

    @property
    def has_unsent(self) -> bool:
        """Whether :meth:`flush` should be called once there is room."""
        return bool(self._unsent)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, now or as soon as there is room."""
        self._unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what there is room for."""
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self.writing, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.closed = True
            self._unsent = b""

    def receive(self) -> list[dict[str, Any]]:
        """All messages that are there."""
        while True:
            try:
                piece = os.read(self.reading, _PIECE_BYTES)
            except BlockingIOError:
                break
            except OSError:
                piece = b""
            if not piece:
                self.closed = True
                break
            self._arrived += piece
            if len(piece) < _PIECE_BYTES:
                break
        *lines, self._arrived = self._arrived.split(b"\n")
        return [json.loads(line) for line in lines if line]

    def close(self) -> None:
        """Give the descriptors back; may be called twice."""
        if self.reading >= 0:
            for descriptor in {self.reading, self.writing}:
                os.close(descriptor)
            self.reading = self.writing = -1
        self.closed = True
