"""One process of libFuzzer, by way of atheris: `python -m …fuzz.child FOLDER [libFuzzer's arguments]`.

It is guided by the branches of the reader and, since most of the reader's decisions are taken within vector
operations, by those of the reference, which takes the same ones row by row. Findings are written into FOLDER; after
one it goes on.
"""

from __future__ import annotations

import importlib.util
import shlex
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import atheris

with atheris.instrument_imports(include=["sigma_impressions.exports", "sigma_impressions_tests.exports.reference"]):
    from sigma_impressions_tests.exports.fuzz.target import MANY_BYTES, SETTINGS_BYTES, check, input_of

from sigma_impressions_tests.exports import reading
from sigma_impressions_tests.exports.fuzz.corpus import name_of
from sigma_impressions_tests.exports.fuzz.mutations import mutated


def _without_instruments(module: ModuleType) -> ModuleType:
    # By its file: the module's own loader is the one that puts the instruments in.
    spec = importlib.util.spec_from_file_location(module.__name__, module.__file__)
    assert spec is not None
    assert spec.loader is not None
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    return plain


_PLAIN_REFERENCE = _without_instruments(reading.reference)
"""It looks at every character: with a call for every branch that takes half a minute for a long field."""

_ALIKE = 5
"""Findings of one kind that are kept."""

_SHRINKING = 20.0
"""Seconds that the search for a shorter input may take."""


def failure(raw: bytes) -> BaseException | None:
    """What goes wrong with an input."""
    is_long = len(input_of(raw).data) > MANY_BYTES
    try:
        with patch.object(reading, "reference", _PLAIN_REFERENCE) if is_long else nullcontext():
            check(raw)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # polars' panics are no Exceptions
        return error
    return None


def kind_of(error: BaseException) -> str:
    """The exception and the innermost line of this project that it comes through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "sigma_impressions" in frame.filename]
    place = f"-{Path(frames[-1].filename).stem}-{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def shorter(raw: bytes, kind: str) -> bytes:
    """The input without whatever its failure does not need."""
    deadline = time.monotonic() + _SHRINKING
    length = len(raw)
    while length := length // 2:
        at = SETTINGS_BYTES
        while at < len(raw):
            if time.monotonic() > deadline:
                return raw
            tried = raw[:at] + raw[at + length :]
            error = failure(tried)
            if error is not None and kind_of(error) == kind:
                raw = tried
            else:
                at += length
    return raw


def write_finding(folder: Path, raw: bytes, error: BaseException) -> None:
    """Keep a finding: its bytes, and how it shows."""
    kind = kind_of(error)
    if len(list(folder.glob(f"{kind}-*.txt"))) >= _ALIKE:
        return
    raw = shorter(raw, kind)
    error = failure(raw) or error
    path = folder / f"{kind}-{name_of(raw)}"
    path.with_suffix(".bin").write_bytes(raw)
    given = input_of(raw)
    lines = (
        f"input: {raw[:1000]!r}",
        f"rules: {given.rules}",
        f"pieces: {given.size} bytes; read with others: {given.is_small}",
        f"file: {given.data[:1000]!r}",
        f"reference: {str(reading.reference_of(given.data, given.rules))[:2000]}",
        "",
    )
    path.with_suffix(".txt").write_text("\n".join(lines) + "".join(traceback.format_exception(error)), encoding="utf-8")


def main() -> None:
    folder = Path(sys.argv.pop(1))
    # With -merge libFuzzer starts itself again, by a shell.
    sys.argv[0] = shlex.join([sys.executable, "-m", "sigma_impressions_tests.exports.fuzz.child", str(folder)])

    def test_one_input(raw: bytes) -> None:
        error = failure(raw)
        if error is not None:
            write_finding(folder, raw, error)

    def custom_mutator(raw: bytes, most: int, seed: int) -> bytes:
        return mutated(raw, most, seed, atheris.Mutate)

    atheris.Setup(sys.argv, test_one_input, custom_mutator=custom_mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
