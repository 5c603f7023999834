"""A network cable for tests: copies Ethernet frames between two interfaces, late, or not at all.

For kernels that cannot delay packets themselves. Runs as a process of its own within the network namespace of the
two interfaces (``python tests/services/cable.py IF_A IF_B``), takes settings as lines of JSON from its input, answers
each with its counters, and ends with its input.

Settings: ``delay_ms`` (one way), ``cut`` (drop everything without a word), ``one_way`` (connections can be opened from
the side of IF_A only, as through the firewall of a group's network).
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import fcntl
import json
import os
import select
import socket
import struct
import sys
import time

_EVERY_PROTOCOL = 3
_PACKET_LEVEL, _ADD_MEMBERSHIP, _PROMISCUOUS, _IGNORE_OUTGOING = 263, 1, 1, 23
_OUTGOING = 4
_ETHTOOL = 0x8946
_OFFLOADS = (0x15, 0x17, 0x1F, 0x24, 0x2C)
"""Checksums and segmentation that a real network card would do: here nobody would do them."""
_IPV4, _TCP, _UDP = b"\x08\x00", 6, 17
_SYN, _ACK = 0x02, 0x10


def switch_offloads_off(interface: str) -> None:
    """Have the kernel finish its packets itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in _OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP8x", interface.encode(), ctypes.addressof(value))
            with contextlib.suppress(OSError):  # not every driver has every switch
                fcntl.ioctl(any_socket, _ETHTOOL, request)


def opens_connection(frame: bytes) -> bool:
    """Whether a frame is somebody's first word: a SYN without ACK, or a datagram."""
    if frame[12:14] != _IPV4:
        return False
    header = (frame[14] & 15) * 4
    protocol = frame[23]
    if protocol == _TCP:
        flags = frame[14 + header + 13]
        return bool(flags & _SYN) and not flags & _ACK
    return protocol == _UDP


class Cable:
    """The two ends, and what is on its way between them."""

    def __init__(self, near: str, far: str) -> None:
        self.settings: dict[str, float] = {"delay_ms": 0, "cut": 0, "one_way": 0}
        self.counts = {"frames": 0, "dropped": 0, "refused": 0}
        for name in (near, far):
            switch_offloads_off(name)
        self._ends = [_open_end(near), _open_end(far)]
        self._under_way: list[collections.deque[tuple[float, bytes]]] = [
            collections.deque(),
            collections.deque(),
        ]

    def run(self) -> None:
        """Until the input ends."""
        poll = select.epoll()
        for number in (0, *(end.fileno() for end in self._ends)):
            poll.register(number, select.EPOLLIN)
        while True:
            for ready, _ in poll.poll(self._seconds_to_next()):
                if ready == 0:
                    if not self._listen():
                        return
                else:
                    self._take(0 if ready == self._ends[0].fileno() else 1)
            self._deliver()

    def _listen(self) -> bool:
        text = os.read(0, 65536).decode()
        for line in text.splitlines():
            self.settings |= json.loads(line)
            sys.stdout.write(json.dumps(self.settings | self.counts) + "\n")
            sys.stdout.flush()
        return bool(text)

    def _seconds_to_next(self) -> float:
        due = min((queue[0][0] for queue in self._under_way if queue), default=None)
        return -1 if due is None else max(0.0, due - time.monotonic())

    def _take(self, side: int) -> None:
        late = self.settings["delay_ms"] / 1000
        for _ in range(64):
            try:
                frame, address = self._ends[side].recvfrom(65600)
            except OSError:
                return
            if address[2] == _OUTGOING:
                continue
            if self.settings["cut"]:
                self.counts["dropped"] += 1
            elif side == 1 and self.settings["one_way"] and opens_connection(frame):
                self.counts["refused"] += 1
            else:
                self._under_way[1 - side].append((time.monotonic() + late, frame))

    def _deliver(self) -> None:
        now = time.monotonic()
        for end, queue in zip(self._ends, self._under_way, strict=True):
            while queue and queue[0][0] <= now:
                frame = queue.popleft()[1]
                kind = "dropped"
                if not self.settings["cut"]:
                    with contextlib.suppress(OSError):
                        end.send(frame)
                        kind = "frames"
                self.counts[kind] += 1


def _open_end(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    end.bind((interface, 0))
    wanted = struct.pack("IHH8s", socket.if_nametoindex(interface), _PROMISCUOUS, 0, b"")
    end.setsockopt(_PACKET_LEVEL, _ADD_MEMBERSHIP, wanted)
    with contextlib.suppress(OSError):
        end.setsockopt(_PACKET_LEVEL, _IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    end.setblocking(False)
    return end


def main() -> None:
    """The interfaces come into this namespace after it was made: wait for word."""
    print("here", flush=True)
    os.read(0, 1)  # no more than a byte: settings may follow
    Cable(sys.argv[1], sys.argv[2]).run()


if __name__ == "__main__":
    main()
