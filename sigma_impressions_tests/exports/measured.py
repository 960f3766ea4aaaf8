"""Normalize a file in a process of its own and print what came of it and what it took, as JSON.

`python -m sigma_impressions_tests.exports.measured FILE WORK OUT`: scratch folders lie in WORK, Parquet files in OUT.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sigma_impressions.exports.reading.normalize import normalize_file
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.lake.scratch import scratch_folder
from sigma_impressions_tests.exports.reading import LAST_MODIFIED

_EVERY = 0.005
"""Seconds between two looks at the scratch folder."""


@dataclass(frozen=True)
class Measured:
    """`outcome`: the reason of a refusal, or "read"; `rows` and `rejected` of what was read.

    `memory_bytes`: how far the resident memory rose over that of the process with everything imported;
    `scratch_bytes`: the most that lay in the scratch folders.
    """

    outcome: str
    rows: int
    rejected: int
    memory_bytes: int
    scratch_bytes: int


def command(file: Path, work: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", __name__, str(file), str(work), str(out)]


def measure(file: Path, work: Path, out: Path) -> Measured:
    done = subprocess.run(command(file, work, out), stdout=subprocess.PIPE, check=True, timeout=120)
    return Measured(**json.loads(done.stdout))


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder, at any depth, while others add and remove some."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _peak_memory() -> int:
    # Of this program alone. What `getrusage` tells begins with the memory of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None, status
    return 1024 * int(found[1])


@contextmanager
def _peak_size(folder: Path) -> Iterator[list[int]]:
    """The size of a folder at its largest, in a list that is filled at the end."""
    peak, answer = 0, []
    ended = threading.Event()

    def look() -> None:
        nonlocal peak
        while not ended.wait(_EVERY):
            peak = max(peak, size_of(folder))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield answer
    finally:
        ended.set()
        looking.join()
        answer.append(peak)


def main() -> None:
    file, work, out = map(Path, sys.argv[1:])
    before = _peak_memory()
    with scratch_folder(work) as scratch, _peak_size(scratch) as peak:
        try:
            result = normalize_file(
                file,
                last_modified=LAST_MODIFIED,
                rules=ReadingRules(),
                accepted_to=out / "accepted.parquet",
                rejected_to=out / "rejected.parquet",
                scratch=scratch,
            )
            outcome, rows, rejected = "read", result.rows, result.rejected
        except RefusedFile as refusal:
            outcome, rows, rejected = refusal.reason, 0, 0
    print(json.dumps(asdict(Measured(outcome, rows, rejected, _peak_memory() - before, peak[0]))))


if __name__ == "__main__":
    main()
