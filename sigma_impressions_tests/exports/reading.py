"""Read one file as the pipeline does, and compare what comes of it with the reference."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from sigma_impressions.exports.reading.classify import ACCEPTED_SCHEMA
from sigma_impressions.exports.reading.normalize import REJECTED_SCHEMA, NormalizedFile, normalize_file
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions_tests.exports import reference

LAST_MODIFIED = datetime(2026, 11, 20, 6, tzinfo=UTC)
DEFAULT_RULES = ReadingRules()


@dataclass
class Read:
    """What normalize_file gave: its result and the rows of both files."""

    result: NormalizedFile
    accepted: pl.DataFrame
    rejected: pl.DataFrame


def read(data: bytes, rules: ReadingRules = DEFAULT_RULES, last_modified: datetime = LAST_MODIFIED) -> Read:
    """Normalize a file of these bytes. Nothing is left in its scratch folder; of a refused file, nothing at all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scratch = folder / "scratch"
        scratch.mkdir()
        (folder / "object").write_bytes(data)
        accepted, rejected = folder / "accepted.parquet", folder / "rejected.parquet"
        try:
            result = normalize_file(
                folder / "object",
                last_modified=last_modified,
                rules=rules,
                accepted_to=accepted,
                rejected_to=rejected,
                scratch=scratch,
            )
        except RefusedFile:
            assert not accepted.exists()
            assert not rejected.exists()
            raise
        finally:
            assert not list(scratch.iterdir())
        return Read(result, pl.read_parquet(accepted), pl.read_parquet(rejected))


def read_or_refuse(data: bytes, rules: ReadingRules = DEFAULT_RULES) -> Read | RefusedFile:
    try:
        return read(data, rules)
    except RefusedFile as refusal:
        return refusal


def reference_of(data: bytes, rules: ReadingRules = DEFAULT_RULES) -> reference.Expected | str:
    """What the reference gives; for a refused file the reason."""
    try:
        return reference.read(
            data,
            LAST_MODIFIED,
            rules.time_zone,
            rules.excluded_users,
            more_aliases=rules.extra_aliases,
            event_types=rules.event_types,
            anonymous=rules.anonymous_users,
        )
    except reference.Refused as refused:
        return str(refused)


def assert_equal(got: Read | RefusedFile, expected: reference.Expected | str) -> None:
    """Every row, reason and count is that of the reference."""
    if isinstance(got, RefusedFile):
        assert got.reason == expected
        assert got.detail
        return
    assert isinstance(expected, reference.Expected), f"not refused for {expected!r}"
    assert got.accepted.schema == pl.Schema(ACCEPTED_SCHEMA)
    assert got.rejected.schema == pl.Schema(REJECTED_SCHEMA)
    assert got.accepted.rows() == expected.accepted
    assert got.rejected.rows() == expected.rejected
    assert got.result.reasons == Counter(reason for _, reason, _ in expected.rejected)
    assert (got.result.accepted, got.result.rejected, got.result.skipped) == (
        len(expected.accepted),
        len(expected.rejected),
        len(expected.skipped),
    )
    assert got.result.rows == got.result.accepted + got.result.rejected + got.result.skipped
    assert got.result.event_dates == tuple(sorted({row[2] for row in expected.accepted}))
    by_count = sorted(expected.event_types.items(), key=lambda item: (-item[1][0], item[0]))
    assert got.result.event_types == tuple((name, *counts) for name, counts in by_count)
    numbers = [row[0] for row in got.accepted.rows() + got.rejected.rows()] + expected.skipped
    assert sorted(numbers) == list(range(1, got.result.rows + 1))


def assert_as_reference(
    data: bytes,
    time_zone: str = "UTC",
    excluded: tuple[str, ...] = (),
    event_types: tuple[str, ...] = (),
    anonymous_users: bool = False,
) -> None:
    rules = ReadingRules(time_zone, excluded, event_types=event_types, anonymous_users=anonymous_users)
    assert_equal(read_or_refuse(data, rules), reference_of(data, rules))
