"""Files that are made to fill memory or disk: refused or read within limits that are measured, and nothing is left."""

from __future__ import annotations

import gzip
import itertools
import resource
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
import pytest

from sigma_impressions.exports.reading.decoding import EXPANSION_FLOOR
from sigma_impressions.exports.reading.parquet import scan_frame, write_frames
from sigma_impressions.lake.scratch import scratch_folder
from sigma_impressions_tests.exports.measured import Measured, command, measure, size_of

pytestmark = pytest.mark.slow

MEMORY = 750 * 10**6
"""Bytes the memory may rise over that of the process with everything imported, which has 200 to 300 MB."""

MB = 10**6
HEADER = b"request_time,user_email,workbook_url_id,comment\n"
ROW = b"2026-11-19T08:00:00Z,ann@example.com,2opi6VLEne4BaPyj00US50,x\n"


def repeated(text: bytes, size: int) -> Iterator[bytes]:
    """About `size` bytes, a few MB at a time."""
    block = text * max(1, 4 * MB // len(text))
    return itertools.repeat(block, max(1, size // len(block)))


def measured(folder: Path, parts: Iterable[bytes]) -> Measured:
    """Normalize a file of these parts; whatever comes of it, its scratch folder is gone."""
    file, work, out = folder / "object", folder / "work", folder / "out"
    out.mkdir()
    with file.open("wb") as target:
        target.writelines(parts)
    result = measure(file, work, out)
    assert not any(path.is_dir() for path in work.iterdir())
    left = [] if result.outcome != "read" else ["accepted.parquet", "rejected.parquet"]
    assert sorted(path.name for path in out.iterdir()) == left
    assert result.memory_bytes < MEMORY
    return result


REFUSED = {
    "10,000 columns": ("too many columns", lambda: [b",".join(b"c%d" % i for i in range(10_000)), b"\n"]),
    "10,000 columns and rows": (
        "too many columns",
        lambda: [HEADER.rstrip(), b",c" * 10_000, b"\n", *repeated(ROW, 10 * MB)],
    ),
    "a plain field of 100 MB": ("field too large", lambda: [HEADER, b"a,b,c,", *repeated(b"x", 100 * MB), b"\n", ROW]),
    "a quoted field of 100 MB": (
        "field too large",
        lambda: [HEADER, ROW, b'a,b,c,"', *repeated(b"x\n", 100 * MB), b'"\n', ROW],
    ),
    "a quote never closed before 100 MB": (
        "malformed quoting",
        lambda: [HEADER, ROW, b'a,b,c,"', *repeated(ROW, 100 * MB)],
    ),
    "a line of 300 MB": ("field too large", lambda: [HEADER, ROW, *repeated(b"abc,", 300 * MB)]),
    "a header line of 300 MB": ("field too large", lambda: repeated(b"abc,", 300 * MB)),
    "100 MB of quotes": ("field too large", lambda: repeated(b'"', 100 * MB)),
    "100 MB of zero bytes": ("field too large", lambda: [HEADER, *repeated(b"\0", 100 * MB)]),
    "100 MB of spaces": ("no header line", lambda: repeated(b" ", 100 * MB)),
}


@pytest.mark.parametrize(("reason", "parts"), REFUSED.values(), ids=REFUSED)
def test_refused_in_bounded_memory_and_without_disk(tmp_path, reason, parts):
    result = measured(tmp_path, parts())
    assert result.outcome == reason
    assert result.scratch_bytes == 0


def test_a_gzip_that_expands_without_end_is_refused_at_the_documented_size(tmp_path):
    lines = gzip.compress(b"\n" * 2**26, mtime=0)
    result = measured(tmp_path, [gzip.compress(HEADER), *[lines] * 64])  # 4 MB that hold 4 GiB
    assert result.outcome == "expands too far"
    assert EXPANSION_FLOOR / 2 < result.scratch_bytes <= EXPANSION_FLOOR


def test_a_small_gzip_of_nothing_but_blank_lines_takes_seconds(tmp_path):
    started = time.monotonic()
    result = measured(tmp_path, [gzip.compress(HEADER), *[gzip.compress(b"\n" * 2**26, mtime=0)] * 4])
    assert (result.outcome, result.rows) == ("read", 0)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("parts", "rows"),
    [
        (lambda: [HEADER, b"\n" * 1_000_000, ROW], 1),
        (lambda: [b" \r\n" * 1_000_000, HEADER, ROW], 1),
        (lambda: [HEADER, b'2026-11-19,a,b,"x\n"\n' * 1_000_000], 1_000_000),
    ],
    ids=["a million blank lines", "a million blank lines before the header", "a million quoted line ends"],
)
def test_read_in_bounded_memory_and_without_disk(tmp_path, parts, rows):
    result = measured(tmp_path, parts())
    assert (result.outcome, result.rows) == ("read", rows)
    assert result.scratch_bytes == 0


def packed(text: bytes) -> bytes:
    return gzip.compress(text, 1)


def in_utf16(text: bytes) -> bytes:
    return text.decode().encode("utf-16")


@pytest.mark.parametrize(
    "written",
    [packed, in_utf16, lambda text: packed(in_utf16(text))],
    ids=["gzip", "UTF-16", "gzip of UTF-16"],
)
def test_the_scratch_folder_holds_the_decoded_file_at_most(tmp_path, written):
    text = b"".join([HEADER, *repeated(ROW, 40 * MB)])
    result = measured(tmp_path, [written(text)])
    assert result.rows > 600_000
    assert 0.9 * len(text) < result.scratch_bytes <= len(text)


def test_a_file_that_is_begun_again_leaves_nothing_of_the_first_time(tmp_path):
    text = [HEADER, ROW * 200_000, (ROW[:-1] + b",\n") * 300_000]
    result = measured(tmp_path, text)
    assert (result.rows, result.rejected) == (500_000, 200_000)
    assert result.scratch_bytes < 5 * MB  # rejected rows, packed


@pytest.mark.parametrize("written", [bytes, packed], ids=["plain", "gzip"])
def test_a_file_with_quotes_behind_backslashes_is_there_twice_at_most(tmp_path, written):
    quoted = ROW[:-2] + b'"say \\"hi\\""\n'
    text = b"".join([HEADER, ROW * 200_000, quoted * 200_000])
    result = measured(tmp_path, [written(text)])
    assert (result.rows, result.rejected) == (400_000, 0)
    assert 0.9 * len(text) < result.scratch_bytes <= len(text)


def test_many_rejected_rows_take_no_more_than_the_file(tmp_path):
    result = measured(tmp_path, [HEADER, *repeated(b"x\n", 12 * MB)])
    assert result.rejected == 6_000_000
    assert result.scratch_bytes <= 12 * MB + len(HEADER)


def test_few_rows_of_a_large_file_do_not_keep_its_text_in_memory(tmp_path):
    def frames() -> Iterator[pl.DataFrame]:
        for number in range(100):
            rows = pl.DataFrame({"event_id": [f"{number}-{'x' * 90}-{row}" for row in range(40_000)]})
            yield rows.filter(pl.arange(pl.len()) % 1_000 == 0)
            risen.append(resident() - before)

    risen: list[int] = []
    before = resident()
    write_frames(frames(), pl.DataFrame(schema={"event_id": pl.String}), tmp_path / "rows.parquet")
    assert scan_frame(tmp_path / "rows.parquet").collect().height == 4_000
    assert max(risen) < 150 * MB  # of 400 MB of text


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_what_a_killed_process_leaves_the_next_one_removes(tmp_path):
    file, work = tmp_path / "object", tmp_path / "work"
    file.write_bytes(gzip.compress(HEADER) + gzip.compress(ROW * 1_000_000, 1) * 10)
    process = subprocess.Popen(command(file, work, tmp_path), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not work.exists() or size_of(work) < 30 * MB:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert size_of(work) >= 30 * MB
    with scratch_folder(work) as fresh:
        assert [path for path in work.iterdir() if path.is_dir()] == [fresh]
    assert size_of(work) == 0
