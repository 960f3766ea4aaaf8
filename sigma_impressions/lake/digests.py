"""Short texts that stand for longer ones: identities, and fingerprints of what something was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


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
