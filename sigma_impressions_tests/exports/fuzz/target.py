"""What must hold for every input of the fuzzer: the result is the reference's, however the file is cut."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import polars as pl

from sigma_impressions.exports.reading import decoding, normalize, records
from sigma_impressions.exports.reading.classify import ACCEPTED_SCHEMA
from sigma_impressions.exports.reading.normalize import REJECTED_SCHEMA
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.exports.reading.small_files import SmallFile, normalize_small_files
from sigma_impressions_tests.exports import reference
from sigma_impressions_tests.exports.reading import LAST_MODIFIED, Read, assert_equal, read_or_refuse, reference_of

TIME_ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",  # skips midnight every spring
    "Australia/Lord_Howe",  # its summer is half an hour ahead
    "Pacific/Apia",  # skipped 2011-12-30
    "Africa/Casablanca",  # ahead all year but in Ramadan
    "America/St_Johns",  # changed at one minute past midnight until 2011
)
EXCLUDED_USERS = ((), ("*@bots.example.com",), ("a?n@example.com", "zoë@*"), ("*",))
EXTRA_ALIASES: tuple[dict[str, tuple[str, ...]], ...] = (
    {},
    {"user_email": ("Who", "login-name"), "count": ("n", "Count of Rows")},
    {"request_time": ("when", "Zeit"), "event_status": ("ok",)},
    {"workbook_url_id": ("doc",), "element_id": ("part", "el"), "event_id": ("id",)},
)
EVENT_TYPES = ((), ("view*",), ("?", "export"), ("*",))
SIZES = (1, 7, 64, 1000)

SETTINGS_BYTES = 3
"""How many bytes of an input are its settings; the others are the file's."""

ENLARGED_HERE = b"~~"
"""What a long run is put in place of, if the settings ask for one: a mutation hardly ever makes a long field."""

_RUNS = tuple(
    text * (reference.FIELD_LIMIT // characters) + more
    for text, characters in ((b"x", 1), ("é".encode(), 1), (b'""', 1), (b"a\r\n,", 4))
    for more in (b"", b"y")
) + tuple(
    line * 150 for line in (b"\n", b"\r\n \n", b"2026-11-19 08:00:00,a,b\n", b"2026-11-19,a,b\n", b",,\n", b'"",a,\n')
)

_FIRST_RUN = 256 - len(_RUNS)

MANY_BYTES = 100_000
"""From here on a file is not cut into tiny pieces: that takes its time and shows nothing new."""

SLOW = 20.0
"""Seconds after which an answer is a mistake, even if it is right."""


@dataclass(frozen=True)
class Input:
    """A file and the settings under which it is read.

    `size` is that of the pieces of its second reading; with `is_small` it is also read as small files are.
    """

    data: bytes
    rules: ReadingRules
    size: int
    is_small: bool


def input_of(raw: bytes) -> Input:
    """Take the fuzzer's bytes apart."""
    rules, size, run = raw[:SETTINGS_BYTES].ljust(SETTINGS_BYTES, b"\0")
    data = raw[SETTINGS_BYTES:]
    if run >= _FIRST_RUN:
        data = data.replace(ENLARGED_HERE, _RUNS[run - _FIRST_RUN], 1)
    return Input(
        data,
        ReadingRules(
            TIME_ZONES[rules & 7],
            EXCLUDED_USERS[rules >> 3 & 3],
            EXTRA_ALIASES[rules >> 5 & 3],
            event_types=EVENT_TYPES[size >> 4 & 3],
            anonymous_users=bool(size & 8),
        ),
        SIZES[size & 3],
        bool(size & 4),
    )


def check(raw: bytes) -> None:
    """Read the input in all ways there are, and compare with the reference. Raises whatever comes of a mistake."""
    given = input_of(raw)
    expected = reference_of(given.data, given.rules)
    start = time.monotonic()
    got = read_or_refuse(given.data, given.rules)
    assert time.monotonic() - start < SLOW, "the answer took too long"
    assert_equal(got, expected)
    if len(given.data) < MANY_BYTES:
        with cut_into(given.size):
            assert_equal(read_or_refuse(given.data, given.rules), expected)
        if given.is_small:
            assert_equal(_read_among_others(given), expected)


@contextmanager
def cut_into(size: int) -> Iterator[None]:
    """Let everything that reads a file in blocks or pieces take this many bytes at a time."""
    with ExitStack() as stack:
        for module, name in ((normalize, "PIECE"), (decoding, "_BLOCK"), (records, "_BLOCK")):
            stack.enter_context(patch.object(module, name, size))
        yield


def _read_among_others(given: Input) -> Read | RefusedFile:
    """The file read together with two others, as small files are."""
    other = b"time,user,workbook\n2026-11-19,a,b\nsoon,a,b\n"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scratch = folder / "scratch"
        scratch.mkdir()
        files = []
        for number, data in enumerate((other, given.data, other)):
            path = folder / f"{number}.csv"
            path.write_bytes(data)
            files.append(SmallFile(path, LAST_MODIFIED, str(number)))
        accepted, rejected = folder / "accepted.parquet", folder / "rejected.parquet"
        results = normalize_small_files(
            files, rules=given.rules, accepted_to=accepted, rejected_to=rejected, scratch=scratch, labels={}
        )
        assert not list(scratch.iterdir())
        own = pl.col("file_id") == "1"
        frames = [pl.read_parquet(path).filter(own).drop("file_id") for path in (accepted, rejected)]
    result = results[1]
    assert result is not None, "the file is small, but was left to normalize_file"
    if isinstance(result, RefusedFile):
        assert not any(frame.height for frame in frames), "a refused file has rows"
        return result
    return Read(result, frames[0].select(*ACCEPTED_SCHEMA), frames[1].select(*REJECTED_SCHEMA))
