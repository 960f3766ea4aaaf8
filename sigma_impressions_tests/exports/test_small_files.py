"""Small files that are read together give what each gives when it is read alone."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigma_impressions.exports.reading import small_files
from sigma_impressions.exports.reading.classify import ACCEPTED_SCHEMA, classify
from sigma_impressions.exports.reading.normalize import REJECTED_SCHEMA
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.exports.reading.small_files import SmallFile, normalize_small_files
from sigma_impressions_tests.exports.reading import LAST_MODIFIED, read
from sigma_impressions_tests.exports.test_normalize import files as files_of_all_kinds

RULES = ReadingRules("Europe/Berlin", ("*@bots.example.com",))


@pytest.mark.slow
@settings(max_examples=100)
@given(
    contents=st.lists(files_of_all_kinds() | st.binary(max_size=30), max_size=5),
    hours=st.lists(st.integers(-24, 24), min_size=5, max_size=5),
    longest=st.sampled_from([100, small_files.SMALL_TEXT]),
)
def test_together_as_alone(contents, hours, longest):
    """The files differ in everything, also in the last-modified time, and some are unusable or too long."""
    assert_together_as_alone(contents, hours, longest)


ROW = "2026-11-19T08:00:00Z,ann@example.com,2opi6VLEne4BaPyj00US50,"
LINES = (
    *(
        f"{ROW}{comment}"
        for comment in ("", "x", " x ", '"say ""hi"""', '"two\nlines"', '"\n"', "é", '"a"b', '"open', ",")
    ),
    *(ROW.replace("08:00", "soon"), ROW.replace("ann@", "a@bots."), ROW[:-1], "short", "", " ", '""', "\u3000", ",,,"),
)


@pytest.mark.slow
@settings(max_examples=50)
@given(
    files=st.lists(
        st.tuples(
            st.sampled_from([",", ",", ";"]),
            st.lists(st.sampled_from(LINES), max_size=6),
            st.sampled_from(["\n", "\n", "\r\n", "\r"]),
            st.booleans(),
        ),
        min_size=2,
        max_size=6,
    ),
    at_once=st.sampled_from([1, 300, small_files.PIECE]),
)
def test_together_as_alone_where_headers_are_alike(files, at_once):
    """What is odd in one file, as a quote that is never closed, is nothing for the one behind it."""
    header = "request_time,user_email,workbook_url_id,comment"
    contents = [
        (line_end.join([header, *lines]) + line_end * is_ended).replace(",", delimiter).encode()
        for delimiter, lines, line_end, is_ended in files
    ]
    with patch.object(small_files, "PIECE", at_once):
        assert_together_as_alone(contents, range(len(contents)), small_files.SMALL_TEXT)


def assert_together_as_alone(contents, hours, longest):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scratch = folder / "scratch"
        scratch.mkdir()
        files = [
            SmallFile(folder / f"object-{number}", LAST_MODIFIED + timedelta(hours=hours[number]), f"f{number}")
            for number in range(len(contents))
        ]
        for file, content in zip(files, contents, strict=True):
            file.path.write_bytes(content)
        accepted, rejected = folder / "accepted.parquet", folder / "rejected.parquet"
        with patch.object(small_files, "SMALL_TEXT", longest):
            together = normalize_small_files(
                files,
                rules=RULES,
                accepted_to=accepted,
                rejected_to=rejected,
                scratch=scratch,
                labels={"capture_id": "c"},
            )
        assert not list(scratch.iterdir())
        expected_accepted, expected_rejected = [], []
        for file, content, result in zip(files, contents, together, strict=True):
            if result is None:
                assert len(content) > longest or content[:2] in (b"\x1f\x8b", b"\xff\xfe") or not content.isascii()
                continue
            try:
                alone = read(content, RULES, file.last_modified)
            except RefusedFile as refusal:
                assert isinstance(result, RefusedFile)
                assert (result.reason, result.detail) == (refusal.reason, refusal.detail)
                continue
            assert result == alone.result
            expected_accepted += [(*row, file.file_id, "c") for row in alone.accepted.rows()]
            expected_rejected += [(*row, file.file_id, "c") for row in alone.rejected.rows()]
        for path, expected, schema in (
            (accepted, expected_accepted, ACCEPTED_SCHEMA),
            (rejected, expected_rejected, REJECTED_SCHEMA),
        ):
            frame = pl.read_parquet(path)
            assert frame.schema == pl.Schema({**schema, "file_id": pl.String(), "capture_id": pl.String()})
            assert frame.rows() == expected


def test_files_whose_headers_are_alike_are_parsed_at_once(tmp_path):
    """To begin a parse takes longer than a small file has rows for; nothing of a file is taken for the next one's."""
    header = "request_time,user_email,workbook_url_id,element_id\n"
    contents = [
        f"{header}{ROW}a\n\n{ROW}b",
        f"{header}{ROW}c\n".replace(",", ";"),
        f'{header}\nshort\n{ROW}"d"\n',
        f"{header}{ROW}e\n".replace(",", ";"),
        header,
        f"{header.upper()}{ROW} f \r\n",
        f"{header}{ROW}g\n{ROW}h,\n",
    ]
    files = [SmallFile(tmp_path / f"{number}", LAST_MODIFIED, f"f{number}") for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.path.write_text(content)
    accepted, rejected = tmp_path / "accepted.parquet", tmp_path / "rejected.parquet"
    with patch("polars.read_csv", wraps=pl.read_csv) as parse:
        results = normalize_small_files(
            files, rules=ReadingRules(), accepted_to=accepted, rejected_to=rejected, scratch=tmp_path, labels={}
        )
    assert parse.call_count == 2
    assert results == [read(content.encode(), ReadingRules()).result for content in contents]
    rows = pl.concat([pl.read_parquet(accepted), pl.read_parquet(rejected)], how="diagonal").sort(
        "file_id", "row_number"
    )
    assert rows.select("file_id", "row_number", pl.coalesce("element_id", "reason")).rows() == [
        ("f0", 1, "a"),
        ("f0", 2, "b"),
        ("f1", 1, "c"),
        ("f2", 1, "wrong_field_count"),
        ("f2", 2, "d"),
        ("f3", 1, "e"),
        ("f5", 1, "f"),
        ("f6", 1, "g"),
        ("f6", 2, "wrong_field_count"),
    ]


def test_every_form_is_read_among_others_as_alone(tmp_path):
    """Also a row knows the delimiter of its own file: not the one of the file beside it."""
    row = "2026-11-19T08:00:00Z,ann@example.com,2opi6VLEne4BaPyj00US50,"
    header = "request_time,user_email,workbook_url_id,element_id\n"
    contents = [
        f"{header}{row},\n{row},\n",
        f"sep=;\n{header}{row}\n".replace(",", ";"),
        f'{header}{row}"say \\"hi\\""\n{row}short,\n',
        f"{header}{row}\n",
    ]
    files = [SmallFile(tmp_path / f"{number}", LAST_MODIFIED, f"f{number}") for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.path.write_text(content)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    seen = []

    def look(raw, *arguments, **more):
        seen.append(raw)
        return classify(raw, *arguments, **more)

    accepted, rejected = tmp_path / "accepted.parquet", tmp_path / "rejected.parquet"
    with patch.object(small_files, "classify", look):
        results = normalize_small_files(
            files, rules=ReadingRules(), accepted_to=accepted, rejected_to=rejected, scratch=scratch, labels={}
        )
    assert results == [read(content.encode(), ReadingRules()).result for content in contents]
    assert seen[0]["is_semicolon"].to_list() == [False, False, True, False, False, False]
    assert pl.read_parquet(accepted)["element_id"].to_list() == [None, None, None, 'say "hi"', None]
    assert [file.path.read_text() for file in files] == contents
