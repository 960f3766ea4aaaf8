"""What other machines forbid, for tests that run as root, or on a file system that can do everything."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")

_libc = ctypes.CDLL(None, use_errno=True)
_OVER_THE_MODE = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: with them the modes of files and folders mean nothing."""


@contextmanager
def obeying_modes() -> Iterator[None]:
    """Inside, this thread heeds the modes of files and folders, though root has it."""
    header, given = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0)), ctypes.create_string_buffer(24)
    if os.geteuid() == 0:
        _done(_libc.capget(header, given))
        effective, *others = struct.unpack("6I", given.raw)
        _done(_libc.capset(header, struct.pack("6I", effective & ~_OVER_THE_MODE, *others)))
    try:
        yield
    finally:
        if os.geteuid() == 0:
            _done(_libc.capset(header, given))


def forbid_hard_links() -> None:
    """Have the kernel refuse them to this process for good, as file systems do that have none."""
    calls = {"x86_64": (86, 265), "aarch64": (37,)}[platform.machine()]
    load_call, is_equal, answer = 0x20, 0x15, 0x06
    steps = [(load_call, 0, 0, 0)]
    steps += [(is_equal, len(calls) - number, 0, call) for number, call in enumerate(calls)]
    steps += [(answer, 0, 0, 0x7FFF0000), (answer, 0, 0, 0x50000 | errno.EOPNOTSUPP)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    whole = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(program)))
    _done(_libc.prctl(38, 1, 0, 0, 0))
    _done(_libc.prctl(22, 2, whole, 0, 0))


def _done(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
