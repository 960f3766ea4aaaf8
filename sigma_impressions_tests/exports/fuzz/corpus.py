"""The inputs that are kept with the tests: `corpus.jsonl`, one a line, each byte as the character of that number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

FILE = Path(__file__).with_name("corpus.jsonl")


def name_of(raw: bytes) -> str:
    """The name of an input that has no better one."""
    return hashlib.sha256(raw).hexdigest()[:12]


def read_corpus() -> dict[str, bytes]:
    """The kept inputs by name: what once was a mistake has a name that says which."""
    lines = FILE.read_text(encoding="ascii").splitlines() if FILE.exists() else []
    return {kept["name"]: kept["input"].encode("latin-1") for kept in map(json.loads, lines)}


def keep(inputs: Iterable[bytes]) -> int:
    """Replace the nameless inputs by these; the number of all inputs is returned."""
    kept = {name: raw for name, raw in read_corpus().items() if name != name_of(raw)}
    kept |= {name_of(raw): raw for raw in sorted(set(inputs) - set(kept.values()), key=lambda raw: (len(raw), raw))}
    lines = [json.dumps({"name": name, "input": raw.decode("latin-1")}) + "\n" for name, raw in kept.items()]
    FILE.write_text("".join(lines), encoding="ascii")
    return len(kept)
