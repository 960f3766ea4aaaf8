"""Whole files: the shared cases, generated files against the reference, the two readers against each other."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sigma_impressions.exports.reading import normalize, records
from sigma_impressions.exports.reading import rules as rules_module
from sigma_impressions.exports.reading.classify import ACCEPTED_SCHEMA, parse_counts
from sigma_impressions.exports.reading.decoding import DecodedText
from sigma_impressions.exports.reading.normalize import REJECTED_SCHEMA, NormalizedFile
from sigma_impressions.exports.reading.records import exact_piece, open_export, pieces, well_formed_piece
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.settings import parse
from sigma_impressions_tests.exports import reference
from sigma_impressions_tests.exports.reading import assert_as_reference, read

CASES = Path(__file__).parents[1] / "cases"
HEADER = b"request_time,user_email,workbook_url_id,comment\n"
ROW = b"2026-11-19T08:00:00Z,ann@example.com,2opi6VLEne4BaPyj00US50,%s\n"


def refusal(data: bytes) -> RefusedFile:
    with pytest.raises(RefusedFile) as caught:
        read(data)
    return caught.value


# --- the shared cases


def case_files() -> list[object]:
    files = []
    for folder in sorted(path.parent for path in CASES.glob("*/case.json")):
        case = json.loads((folder / "case.json").read_text())
        expected = json.loads((folder / "expected.json").read_text())
        for file, figures in zip(case["files"], expected["files"], strict=True):
            arguments = (folder / file["path"], file["last_modified"], case.get("settings", {}), figures)
            files.append(pytest.param(*arguments, id=f"{folder.name}:{file['key']}"))
    return files


@pytest.mark.parametrize(("path", "last_modified", "case_settings", "expected"), case_files())
def test_cases(path, last_modified, case_settings, expected):
    rules = ReadingRules(
        time_zone=case_settings.get("SIGMA_IMPRESSIONS_TIME_ZONE", "UTC"),
        excluded_users=parse.excluded_users(case_settings.get("SIGMA_IMPRESSIONS_EXCLUDED_USERS", "")),
        extra_aliases=parse.header_aliases(case_settings.get("SIGMA_IMPRESSIONS_HEADER_ALIASES", "")),
        event_types=parse.event_types(case_settings.get("SIGMA_IMPRESSIONS_EVENT_TYPES", "")),
        anonymous_users=case_settings.get("SIGMA_IMPRESSIONS_ANONYMOUS_USERS") == "count",
    )
    figures = {"rows": 0, "accepted": 0, "rejected": 0, "skipped": 0, "reasons": {}, "refused": None}
    try:
        result = read(path.read_bytes(), rules, datetime.fromisoformat(last_modified)).result
        figures |= {name: getattr(result, name) for name in figures if name != "refused"}
    except RefusedFile as error:
        figures["refused"] = error.reason
    assert figures == {name: expected[name] for name in figures}


# --- generated files


SPACED = st.sampled_from(["{}", "{}", "{}", " {}", "{}\t", "\u3000{}\xa0", "\x1c{}", "\ufeff{}", "{}\r\n"])


def spaced(*values: str) -> st.SearchStrategy[str]:
    return st.builds(str.format, SPACED, st.sampled_from(values))


VALUES = {
    "request_time": spaced(
        "2026-11-19T08:00:00Z",
        "2026-11-19 08:00:00.123456",
        "2026-11-18",
        "2026-03-29 02:30:00",
        "1763539200",
        "1763539200123",
        "2026-11-19T08:00:00+0200",
        "2009-12-31T23:59:59Z",
        "2026-11-21T06:00:00Z",
        "2026-11-21T06:00:00.000001Z",
        "9999-12-31T23:59:59-05:00",
        "2026-11-19 08:00",
        "2026-11-19T08:00:00,5 gmt",
        "Thu, 19 Nov 2026 08:00:00 +0100",
        "1763539200123456",
        "1763539200.5",
        "'2026-11-19'",
        "soon",
        "",
        "\\N",
        "null",
    ),
    "user_email": spaced(
        "Ann@Example.com",
        "zoë@example.com",
        "a.b@bots.example.com",
        "NULL",
        "Undefined",
        "",
        "ΑΣ@x.gr",
        "a",
        '"Ann@Example.com"',
        "' a.b@bots.example.com\t'",
        "nobody",
        "'",
    ),
    "workbook_url_id": spaced(
        "2opi6VLEne4BaPyj00US50",
        "https://app.sigmacomputing.com/acme/workbook/Sales-Overview-2opi6VLEne4BaPyj00US50?:displayNodeId=x",
        "https://x/b/AbC/b/DeF#/b/no",
        "/b/x?y=/workbook/z",
        "/workbook/b/x",
        "/workbook/a-b/b/",
        "/workbook/a-",
        "d6c07b3f-e008-f636-0377-333740d8a2fd",
        "Sales-2opi6VLEne4BaPyj00US50",
        "https://x/acme/workbook/Sales-2opi6VLEne4BaPyj00US50/element/El_-1?:email=ann%40x",
        "https://ann:secret@x/embed/1-AbC#ann",
        "https%3A%2F%2Fx%2Fb%2F2opi6VLEne4BaPyj00US50%3Fann",
        "?ann",
        "AbC?",
        "<Null>",
        "",
        "null",
    ),
    "element_id": spaced("El_-1", "", "\\N", "\\\\N", "\0\0"),
    "count": spaced(
        "1",
        "2",
        "3.0",
        "07",
        "1000000000",
        "1000000001",
        "0",
        "00000000000000000000004.00",
        "-1",
        "1.5",
        "+1",
        "1.",
        "2.000",
        "1,000",
        "",
    ),
    "event_id": spaced("e1", "", "None"),
    "event_status": spaced("success", "SUCCESS", "Failure", "null", ""),
    "event_type": spaced("view_workbook", "View Element", "export", "", "-"),
    "comment": st.sampled_from(
        ["", "x", 'say "hi"', "C:\\", "\\\\", "a,b;c\td|e", "two\nlines", "\r\n", "  ", '"', "\x00", "é" * 3]
    )
    | st.text(max_size=6),
}


@st.composite
def files(draw: st.DrawFn) -> bytes:
    optional = st.sampled_from(["element_id", "count", "event_id", "event_status", "event_type", "comment"])
    columns = draw(st.permutations([*reference.REQUIRED, *draw(st.lists(optional, unique=True))]))
    delimiter = draw(st.sampled_from(",;\t|"))
    line_end = draw(st.sampled_from(["\n", "\r\n", "\n", "\r"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]))
    header = [
        draw(st.sampled_from([c, c.title(), c.replace("_", " "), *reference.COLUMNS.get(c, c).split()]))
        for c in columns
    ]
    backslashes = draw(st.sampled_from([False, False, False, True]))
    trailing = draw(st.sampled_from(["", "", "", delimiter, f'{delimiter}""', f"{delimiter} "]))
    lines = []
    for fields in [header, *draw(st.lists(st.tuples(*(VALUES[c] for c in columns)), max_size=6))]:
        if quoting == csv.QUOTE_NONE:  # as a careless program writes: quotes and delimiters are not guarded
            lines.append(delimiter.join(fields))
        else:
            out = io.StringIO()
            escape = {"escapechar": "\\", "doublequote": False} if backslashes else {}
            csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="", **escape).writerow(fields)
            lines.append(out.getvalue())
        if lines[1:] and draw(st.sampled_from([True, True, False])):
            lines[-1] += trailing
    odd = [
        "",
        " ",
        "\t",
        '""',
        "x",
        delimiter,
        delimiter * 9,
        'a"b',
        '"a"b',
        '"',
        "\ufeff",
        f'"a{delimiter}b',
        "\u3000",
    ]
    for line in draw(st.lists(st.sampled_from(odd), max_size=2)):
        lines.insert(draw(st.integers(0, len(lines))), line)
    declared = draw(st.sampled_from(["", "", "", f"sep={delimiter}", f'"SEP={delimiter}" ', "sep=;", "sep=.", "sep="]))
    text = line_end.join([declared, *lines] if declared else lines) + draw(st.sampled_from(["", line_end]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]))
    data = text.encode(encoding, "replace")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3]))):
        data = gzip.compress(data, mtime=0)
    return data


@pytest.mark.slow
@settings(max_examples=300)
@given(
    data=files(),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    excluded=st.sampled_from([(), ("*@bots.example.com",), ("a?n@example.com", "zoë@example.com")]),
    event_types=st.sampled_from([(), (), ("view?*",), ("export", "?")]),
    anonymous_users=st.booleans(),
)
@example(
    data=HEADER + b'a,b,c,"x\\",y"\n' + b'a,b,c,"x\\""\n',
    time_zone="UTC",
    excluded=(),
    event_types=(),
    anonymous_users=False,
)
def test_generated_files_give_what_the_reference_gives(data, time_zone, excluded, event_types, anonymous_users):
    assert_as_reference(data, time_zone, excluded, event_types, anonymous_users)


@settings(max_examples=150)
@given(
    before=st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", HEADER, b"time;user;workbook\n"]),
    data=st.binary(max_size=60) | st.text(alphabet='",;\r\n \t\x00a1é', max_size=60).map(str.encode),
)
@example(before=HEADER, data=b'"')
@example(before=HEADER, data=b"x\x01\n")
def test_any_bytes_give_rows_that_add_up_or_a_refusal(before, data):
    assert_as_reference(before + data)


ALPHABET = st.sampled_from(
    [
        *('"', '"', ",", ",", "\n", "\r\n", "\r", " ", "a", "é", '"a",', '""', "b,c,d\n", '"x\ny",1,2\n', "\ufeff"),
        *("a,b,c,\n", 'a,b,c,""\r\n', 'a,b,"c", \n', 'a,b,c,"\u3000\n"\n', 'a,b,c,"," ""\n'),
    ]
)


@pytest.mark.slow
@settings(max_examples=400)
@given(
    body=st.lists(ALPHABET, max_size=25).map("".join),
    size=st.sampled_from([1, 7, 64, 2**20]),
    ends_in_delimiter=st.booleans(),
)
def test_both_readers_give_the_same_rows(body, size, ends_in_delimiter):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "object"
        path.write_bytes(b"request_time,user_email,workbook_url_id\n" + body.encode())
        opened = open_export(DecodedText(path, 0, ()), ReadingRules())
        header = dataclasses.replace(opened.header, ends_in_delimiter=ends_in_delimiter)
        opened = dataclasses.replace(opened, header=header)
        empty = pl.DataFrame(schema=records.RAW_SCHEMA)
        with path.open("rb") as source:
            try:
                exact = exact_piece(source, opened.rows_start, opened.header, 1, 2**30)
            except RefusedFile as refused:
                with pytest.raises(RefusedFile) as caught:
                    list(pieces(opened, size))
                assert caught.value.reason == refused.reason
                return
        assert opened.rows_start + exact.size == path.stat().st_size
        rows = [piece.rows() for piece in pieces(opened, size)]
        assert sum(piece.surplus for piece in pieces(opened, size)) == exact.surplus
        assert_frame_equal(pl.concat([empty, *rows]), exact.rows())
        texts = [piece.texts(piece.rows().get_column("row_number")) for piece in pieces(opened, size)]
        written = exact.texts(exact.rows().get_column("row_number"))
        assert [text for series in texts for text in series] == written.to_list()


# --- figures by hand


def test_row_numbers_and_texts_of_rejected_rows():
    got = read(
        HEADER
        + ROW % b"1"
        + b"\n \t \n"
        + b"2026-11-19T08:00:00Z,short\r\n"
        + ROW % b'"two\nlines"'
        + b'now,"ann",x,"two\r\nlines"\r\n'
        + b"x" * 3000
    )
    assert got.accepted["row_number"].to_list() == [1, 3]
    assert got.rejected.rows() == [
        (2, "wrong_field_count", "2026-11-19T08:00:00Z,short"),
        (4, "unparseable_request_time", 'now,"ann",x,"two\r\nlines"'),
        (5, "wrong_field_count", "x" * 2000),
    ]


def test_a_header_and_no_rows_is_fine():
    got = read(HEADER)
    assert got.result == NormalizedFile(0, 0, 0, 0, {}, (), (), ("comment",))
    assert got.accepted.schema == pl.Schema(ACCEPTED_SCHEMA)
    assert got.rejected.schema == pl.Schema(REJECTED_SCHEMA)


@pytest.mark.parametrize("blank", ["\n" * 300_000, " \r\n\u3000\t\r" * 100_000, "\u2003" * 100_000 + "\n"])
def test_any_number_of_blank_lines_may_come_before_the_header(blank):
    assert read(blank.encode() + HEADER + ROW % b"").result.accepted == 1


@pytest.mark.parametrize(
    "blank",
    [b"\n" * 2**23, b"\r" * 2**23, b" \r" * 2**22, "\u3000\r\n".encode() * 2**20],
    ids=["LF", "CR", "space and CR", "ideographic space and CRLF"],
)
def test_floods_of_blank_lines_between_rows_take_little_time(blank):
    started = time.monotonic()
    got = read(HEADER + ROW % b"" + blank + ROW % b"" + b"soon,,,\n" + blank)
    assert time.monotonic() - started < 5
    assert got.accepted["row_number"].to_list() == [1, 2]
    assert got.rejected["row_number"].to_list() == [3]


@pytest.mark.parametrize("line_end", [b"\n", b"\r"])
def test_blank_lines_behind_every_row_take_little_time(line_end):
    started = time.monotonic()
    got = read(HEADER + (ROW.rstrip() % b"" + line_end * 1000) * 5000)
    assert time.monotonic() - started < 5
    assert (got.result.rows, got.result.accepted) == (5000, 5000)


def test_a_blank_line_of_the_delimiter_is_a_row():
    got = read(b"time\tuser\tworkbook\n2026-11-19\ta\tb\r\r\t\r \r2026-11-19\ta\tb\r")
    assert got.accepted["row_number"].to_list() == [1, 3]
    assert got.rejected.select("row_number", "reason").rows() == [(2, "wrong_field_count")]


def test_a_blank_line_that_is_too_long_is_refused_between_rows():
    blank = b" " * (records.FIELD_LIMIT + 1) + b"\n"
    assert refusal(HEADER + ROW % b"" + b"\n\n" + blank + ROW % b"").reason == "field too large"


def test_a_line_end_within_quotes_does_not_end_the_header_line():
    got = read(b'"request\ntime";user;"workbook"\n2026-11-19;a;b\n')
    assert got.accepted["workbook_url_id"].to_list() == ["b"]


def test_warnings_of_the_decoding_are_passed_on():
    got = read(HEADER + ROW % "zoë".encode("cp1252"))
    assert "Windows-1252" in got.result.warnings[0]


def test_the_last_modified_time_bounds_the_rows():
    data = HEADER + ROW % b""
    assert read(data, last_modified=datetime(2026, 11, 18, 8, tzinfo=UTC)).result.accepted == 1
    early = read(data, last_modified=datetime(2026, 11, 18, 8, tzinfo=UTC) - timedelta(microseconds=1))
    assert early.result.reasons == {"request_time_out_of_range": 1}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xef\xbb\xbf", "no header line"),
        (b"\r\n \t\n\xc2\xa0", "no header line"),
        (gzip.compress(b""), "empty file"),
        (HEADER + b'a,"b,c,d\n' + ROW % b"1", "malformed quoting"),
        (HEADER + b'a,"b"x,c,d\n', "malformed quoting"),
        (b'request_time,"user_email,workbook_url_id\n', "malformed quoting"),
        (b"user_email,workbook_url_id\n", "missing required column"),
        (HEADER + ROW % (b"x" * (2**20 + 1)), "field too large"),
        (HEADER + ROW % b'"%s"' % (b"x\n" * 2**19 + b"y"), "field too large"),
        (b"a" * 40_000_000, "field too large"),
        (HEADER + b'a,b,"c","d""' + ROW * 30_000 % ((b'""',) * 30_000), "malformed quoting"),
        (HEADER + b'a,,"c"\n,"""' + b'x\n""' * 1_000_000, "malformed quoting"),
        (HEADER + b'a,,"c"\n,"""' + b'x\n""' * 1_000_000 + b'"', "field too large"),
        (HEADER + b'a,"' + b"," * 2_000_000 + b'",c', "field too large"),
        (HEADER + b"," * 40_000_000, "field too large"),
        (b",".join(b"c%d" % i for i in range(10_000)), "too many columns"),
        (HEADER + b"x" * (2**20 + 1) + b'\n"', "field too large"),
        (HEADER + ("é" * 2**20).encode() + b',"' + b"x" * 2**21, "malformed quoting"),
        (HEADER + ("é" * 2**20).encode() + b'y,"' + b"x" * 2**21, "field too large"),
        (HEADER + b'"%s","' % (b'""' * 2**20) + b"x" * 2**21, "malformed quoting"),
    ],
    ids=range(20),
)
def test_refused_files(data, reason):
    error = refusal(data)
    assert error.reason == reason
    assert str(error) == f"{reason}: {error.detail}"


def test_a_fault_far_into_the_file_names_its_place(monkeypatch):
    monkeypatch.setattr(normalize, "PIECE", 1000)
    before = HEADER + ROW * 100 % ((b"1",) * 100) + b"\n"
    error = refusal(before + b'a,b,c,"d\n' + ROW % b"1")
    assert error.reason == "malformed quoting"
    assert f"row 101, which begins at byte {len(before) + 1:,}" in error.detail


def test_a_field_of_exactly_the_limit_is_fine():
    long = HEADER + ROW % (b"x" * 2**20) + ROW % b'"%s"' % (b"x\n" * 2**19)
    assert read(long).result.accepted == 2


@pytest.mark.slow
def test_many_pieces_give_what_one_gives(monkeypatch):
    numbers = count()
    rows = [
        ROW % (b'"a\n%d"' % i if i % 3 else b"%d" % i)
        if i % 7
        else (b"short\n", b"\n", b'a"b,c,d,e\n')[next(numbers) % 3]
        for i in range(3000)
    ]
    data = HEADER + b"".join(rows)
    whole = read(data)
    monkeypatch.setattr(normalize, "PIECE", 1000)
    pieces = read(data)
    assert pieces.result == whole.result
    assert_frame_equal(pieces.accepted, whole.accepted)
    assert_frame_equal(pieces.rejected, whole.rejected)
    assert whole.result.reasons == {"wrong_field_count": 143, "unparseable_request_time": 143}


@pytest.mark.parametrize(("plain", "trailing"), [(99, 100), (100, 99), (100, 100), (0, 150), (30, 150)])
@pytest.mark.parametrize("plain_first", [True, False])
@pytest.mark.parametrize("written", [b"%s\n", b'%s,"b""b"\n'], ids=["well-formed", "quoted"])
def test_what_most_rows_of_the_whole_file_have_decides(plain, trailing, plain_first, written, monkeypatch):
    """However the first piece looks like, the rows that are kept are those of the more frequent form."""
    monkeypatch.setattr(normalize, "PIECE", 1000)
    row = b"2026-11-19T08:00:00Z,ann@example.com,2opi6VLEne4BaPyj00US50"
    header = b"request_time,user_email,workbook_url_id\n" if written == b"%s\n" else HEADER
    parts = [written % row] * plain, [(written % row)[:-1] + b",\n"] * trailing
    got = read(header + b"\n".join(b"".join(part) for part in (parts if plain_first else parts[::-1])))
    kept, broken = (trailing, plain) if trailing > plain else (plain, trailing)
    assert (got.result.accepted, got.result.rejected) == (kept, broken)
    assert got.accepted.height == kept
    assert got.rejected.height == broken
    first_is_kept = plain_first == (plain >= trailing)
    numbers = range(1, kept + 1) if first_is_kept else range(broken + 1, broken + kept + 1)
    assert got.accepted["row_number"].to_list() == list(numbers)


def test_quotes_behind_backslashes_far_into_the_file(monkeypatch):
    """What was written of the first rows is written again; the rest is as if quotes were doubled."""
    monkeypatch.setattr(normalize, "PIECE", 1000)
    rows = [ROW % b"1", b"short\n", ROW % b'"a\\\\"'] * 50 + [ROW % b'"say \\"hi\\", \\\\"', b"short\n"] * 2
    got = read(HEADER + b"".join(rows))
    doubled = read(HEADER + b"".join(rows).replace(b'\\"hi\\"', b'""hi""'))
    assert_frame_equal(got.accepted, doubled.accepted)
    assert_frame_equal(got.rejected, doubled.rejected)
    assert (got.result.accepted, got.result.reasons) == (102, {"wrong_field_count": 52})
    assert len(got.result.warnings) == 1


def test_a_long_file_with_quoted_line_ends_takes_the_fast_reader(tmp_path):
    path = tmp_path / "object"
    path.write_bytes(HEADER + b"".join(ROW % b'"%d,""\n"' % i for i in range(50_000)))
    opened = open_export(DecodedText(path, 0, ()), ReadingRules())
    text = path.read_bytes()[opened.rows_start :]
    fast = well_formed_piece(text, opened.header, 1, ends_here=True)
    assert fast is not None
    with path.open("rb") as source:
        exact = exact_piece(source, opened.rows_start, opened.header, 1, 2**30)
    assert_frame_equal(fast.rows(), exact.rows())


# --- single rules


def test_counts():
    texts = ["1", "3.000", None, "1000000000", "1000000001", "0", "0.0", "1e3", "99999999999999999999", "٣", "00"]
    comma, semicolon = pl.Series([False]), pl.Series([True])
    assert parse_counts(pl.Series(texts), comma).to_list() == [1, 3, 1, 10**9, *[None] * 7]
    assert parse_counts(pl.Series([None, None], dtype=pl.String), comma).to_list() == [1, 1]
    assert parse_counts(pl.Series(["3.0", "3.00", "3.000", "3.0000", None]), semicolon).to_list() == [3, 3, None, 3, 1]
    mixed = parse_counts(pl.Series(["3.000", "3.000", "x"]), pl.Series([True, False, False]))
    assert mixed.to_list() == [None, 3, None]


@pytest.mark.parametrize(
    ("pattern", "skipped"),
    [("ann@example.com", 1), ("ann@example?com", 1), ("*@example.com", 1), ("ann@example.co", 0), (".*", 0), ("*", 1)],
)
def test_excluded_users(pattern, skipped):
    assert read(HEADER + ROW % b"", ReadingRules(excluded_users=(pattern,))).result.skipped == skipped
    if pattern.endswith("example.com"):
        # Zero-width characters and the like: the user looks the same.
        for hidden in ("\u200b", "\u00ad", "\u2060", "\ufeff"):
            row = ROW.replace(b"@exam", f"@{hidden}exam".encode())
            assert read(HEADER + row % b"", ReadingRules(excluded_users=(pattern,))).result.skipped == skipped


def test_the_fingerprint_tells_rules_apart_but_not_their_order():
    rules = ReadingRules("UTC", ("a@x", "b@x"), {"count": ("Hits",)})
    assert (
        rules.fingerprint() == ReadingRules("UTC", ("b@x", "a@x"), {"count": ("hits",), "event_id": ()}).fingerprint()
    )
    others = [ReadingRules(), ReadingRules("Asia/Tokyo"), ReadingRules(excluded_users=("a@x",)), rules]
    assert len({other.fingerprint() for other in others}) == 4


def test_the_fingerprint_knows_the_precedence_of_aliases():
    rules = [ReadingRules(extra_aliases={"count": names}) for names in (("a", "b"), ("b", "a"), ("A!", "b", "a"))]
    assert rules[0].fingerprint() == rules[2].fingerprint() != rules[1].fingerprint()


def test_a_new_version_changes_the_fingerprint(monkeypatch):
    before = ReadingRules().fingerprint()
    monkeypatch.setattr(rules_module, "NORMALIZATION_VERSION", rules_module.NORMALIZATION_VERSION + 1)
    assert ReadingRules().fingerprint() != before


@pytest.mark.parametrize(
    "aliases",
    [
        {"counts": ("n",)},
        {"count": ("!",)},
        {"count": ("Email",)},
        {"count": ("userEmail",)},
        {"count": ("n",), "event_id": ("N",)},
        {"event_id": ("Count of Request Id",)},
    ],
)
def test_aliases_that_cannot_work_are_refused(aliases):
    with pytest.raises(ValueError, match=r"alias|column"):
        ReadingRules(extra_aliases=aliases)


def test_event_dates_are_days_in_utc():
    data = b"time,user,workbook\n2026-11-19 23:30:00,a,b\n2026-11-19T01:00:00Z,a,b\n"
    result = read(data, ReadingRules("America/New_York")).result
    assert result.event_dates == (date(2026, 11, 19), date(2026, 11, 20))
