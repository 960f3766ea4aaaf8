"""Short texts that stand for longer ones: identities, and fingerprints of what something was made from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path


def digest(parts: Iterable[object], characters: int = 16) -> str:
    """The first hexadecimal characters (up to 64) of the SHA-256 of the parts, one a line.

    16 of them, 64 bits, tell any two of a billion texts apart but for a chance of 3 %, and any two of a million
    but for one of 3 in 10^8.
    """
    whole = hashlib.sha256()
    # Not joined to one text first: it would be as large as all IDs of a bucket.
    separator = b""
    for part in parts:
        whole.update(separator + str(part).encode())
        separator = b"\n"
    return whole.hexdigest()[:characters]


_OF_A_FILE = 32


def named_by_content(file: Path, name: str) -> str:
    """A name for a Parquet file that never changes: it says what the file's bytes are, beside what makes it unique."""
    return f"{name}-{file_digest(file)}.parquet"


def file_digest(file: Path) -> str:
    """The first 32 hexadecimal characters of the SHA-256 of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:_OF_A_FILE]


def named_digest(name: str) -> str | None:
    """The digest that a name made by `named_by_content` holds; None for one that was made otherwise."""
    found = re.search(rf"-([0-9a-f]{{{_OF_A_FILE}}})\.parquet$", name)
    return found[1] if found else None
