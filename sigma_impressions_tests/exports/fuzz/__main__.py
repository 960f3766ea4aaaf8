"""Fuzz the normalization for some time: `python -m sigma_impressions_tests.exports.fuzz --minutes 30`.

Starts from the kept corpus and from what earlier runs left in the working folder. Findings are printed and kept in
the folder; the exit code is 1 if there is any, 2 if the fuzzer itself does not work. `--keep` replaces the kept
corpus by the fewest inputs that reach every branch, and as often.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from sigma_impressions_tests.exports.fuzz.corpus import FILE, keep, name_of, read_corpus
from sigma_impressions_tests.exports.fuzz.target import MANY_BYTES, SETTINGS_BYTES, input_of

_ENDED_BY_LIBFUZZER = (70, 71, 77)
"""Its exit codes after an input that took too long, took too much memory, or ended the process."""

_OPTIONS = (
    "-timeout=60",
    "-rss_limit_mb=3000",
    "-max_len=4096",
    "-report_slow_units=60",
    "-print_final_stats=1",
    "-reload=0",
)

_FIRST = (
    b"request_time,user_email,workbook_url_id,element_id,count,event_id,event_status,comment\n"
    b"2026-11-19T08:00:00Z,ann@example.com,2opi6VLEne4BaPyj00US50,el-1,2,e-1,success,x\n"
    b'"2026-11-19 08:00:00.5","Bob@example.com","https://x/b/Sales-AbC?y",,"3.0",e-2,failure,"a,""b""\nc"\n'
    b"soon,,,\n",
    b"Timestamp;User;Workbook\r\n1763539200;a;b\r\n1763539200123;c;d\r\n\r\n",
    b"time\tuser\tworkbook\n2026-11-19\t~~\tb\n",
    b'sep=|\n[Time]|userEmail|Workbook ID|Count of Rows\n2026-11-19|a|"say \\"b\\", \\\\"|2|\n2026-11-19|a|"~~"|2|\n',
    b'time,user,workbook,"a;b;c;d"\n2026-11-19,a,b,"\\"~~\\""\n2026-11-19,a,b,"x\\""",\n',
)
"""The files from which everything else came."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5, help="default: 5")
    parser.add_argument("--folder", type=Path, default=Path("data/fuzz"), help="default: data/fuzz")
    parser.add_argument("--keep", action="store_true", help=f"write {FILE.name} anew at the end")
    options = parser.parse_args()
    corpus, findings = options.folder / "corpus", options.folder / "findings"
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(exist_ok=True)
    if left := sorted(findings.iterdir()):
        parser.error(f"{findings} holds {len(left)} files of an earlier run; move them away first")
    for raw in (*(bytes(SETTINGS_BYTES) + file for file in _FIRST), *read_corpus().values()):
        (corpus / name_of(raw)).write_bytes(raw)
    log = options.folder / "log.txt"
    log.unlink(missing_ok=True)
    deadline = time.monotonic() + 60 * options.minutes
    while (left_seconds := round(deadline - time.monotonic())) > 0:
        _run(findings, log, f"-max_total_time={left_seconds}", str(corpus))
    if options.keep:
        print(f"{FILE.name}: {keep(_fewest(options.folder, corpus, findings, log)):,} inputs")
    found = sorted(path for path in findings.iterdir() if path.suffix != ".bin")
    for path in found:
        print(f"\n=== {path}")
        if path.suffix == ".txt":
            print(path.read_text(encoding="utf-8"))
        else:  # written by libFuzzer: the process did not survive it, or did not answer
            print(f"input: {path.read_bytes()!r}; what happened is in {log}")
    print(f"{len(found)} findings in {options.minutes:g} minutes, {len(list(corpus.iterdir())):,} inputs in {corpus}")
    sys.exit(1 if found else 0)


def _run(findings: Path, log: Path, *arguments: str) -> None:
    """Run a process of the fuzzer to its end, and show every minute how it does."""
    command = (sys.executable, "-m", "sigma_impressions_tests.exports.fuzz.child", str(findings), *_OPTIONS)
    prefix = f"-artifact_prefix={findings}{os.sep}"
    # With one thread polars answers a query on so few rows in half the time.
    environ = {**os.environ, "POLARS_MAX_THREADS": "1"}
    if Path("/dev/shm").is_dir():
        environ.setdefault("TMPDIR", "/dev/shm")
    with log.open("ab") as output:
        process = subprocess.Popen([*command, prefix, *arguments], stdout=output, stderr=subprocess.STDOUT, env=environ)
        try:
            while process.poll() is None:
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    print(_last_figures(log), flush=True)
        finally:
            process.kill()
            process.wait()
    print(_last_figures(log), flush=True)
    if process.returncode > 0 and process.returncode not in _ENDED_BY_LIBFUZZER:
        print(log.read_text(encoding="utf-8", errors="replace")[-3000:])
        print(f"the fuzzer ended with exit code {process.returncode}; is atheris installed (Linux on x86-64 only)?")
        sys.exit(2)


def _last_figures(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if " cov: " in line]
    return lines[-1] if lines else "starting"


def _fewest(folder: Path, corpus: Path, findings: Path, log: Path) -> list[bytes]:
    """The fewest inputs that reach every branch, and the fewest short ones that reach each as often as any does."""
    fewest, short = _emptied(folder / "fewest"), _emptied(folder / "short")
    for path in corpus.iterdir():
        if len(input_of(path.read_bytes()).data) < MANY_BYTES:
            shutil.copy(path, short)
    _run(findings, log, "-merge=1", "-use_counters=0", str(fewest), str(corpus))
    _run(findings, log, "-merge=1", str(fewest), str(short))
    return [path.read_bytes() for path in fewest.iterdir()]


def _emptied(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    return folder


if __name__ == "__main__":
    main()
