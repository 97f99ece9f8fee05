"""Bring up the loopback interface of a new network namespace, then become another program.

usage: loopback.py PROGRAM [ARGUMENT…]. A machine without iproute2 can do it, too.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys

_GET, _SET, _UP = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
_FORM = "16sH14x"


def main() -> None:
    with socket.socket() as any_socket:
        found = fcntl.ioctl(any_socket, _GET, struct.pack(_FORM, b"lo", 0))
        (flags,) = struct.unpack_from("H", found, 16)
        fcntl.ioctl(any_socket, _SET, struct.pack(_FORM, b"lo", flags | _UP))
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606


if __name__ == "__main__":
    main()
