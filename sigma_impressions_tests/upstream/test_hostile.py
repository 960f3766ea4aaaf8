"""Snapshots and answers that nobody would write but to do harm: a sentence comes of each, and memory stays bounded."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import (
    OperatorError,
    ResourcesRefused,
    ResourcesUnreadable,
    SigmaApiError,
    SigmaRefused,
    SigmaUnavailable,
    StoreError,
)
from sigma_impressions.upstream import answers, contract, discovery, sigma_api, snapshot_file
from sigma_impressions.upstream.contract import SCHEMA, conform
from sigma_impressions.upstream.discovery import Discovered, discover_resources, list_workbooks
from sigma_impressions.upstream.members import MEMBERS, DiscoveredMembers, discover_members
from sigma_impressions.upstream.sigma_api import Credentials
from sigma_impressions.upstream.snapshot_file import read_snapshot
from sigma_impressions_tests.clouds import test_s3
from sigma_impressions_tests.clouds.http_stub import Answer, HttpStub, Request, http_stub
from sigma_impressions_tests.upstream.measured import measure

MEMORY = 500 * 10**6
HEADER = b"resource_type,workbook_url_id,name\n"
ROW = b"sigma_workbook,w1,Sales\n"
ADDRESS = "ann.lee@example.com"


def refusal(folder: Path, name: str, content: bytes) -> str:
    file = folder / name
    file.write_bytes(content)
    with pytest.raises((ResourcesUnreadable, ResourcesRefused)) as caught:
        read_snapshot(str(file))
    assert str(file) in str(caught.value)
    assert ADDRESS not in str(caught.value)
    return str(caught.value).replace(str(file), "FILE")


# --- files, one by one

REFUSED: dict[str, tuple[str, bytes, str]] = {
    "quoting": ("r.csv", HEADER + f'"{ADDRESS}"x,w1,\n'.encode(), "the quoting at or before line 2"),
    "a row too wide": ("r.csv", HEADER + f"a,b,c,{ADDRESS}\n".encode(), "row 1 has more fields than the header"),
    "UTF-16": ("r.csv", (HEADER + ROW).decode().encode("utf-16"), "line 1 is not valid UTF-8"),
    "Latin": ("r.csv", HEADER + ROW + ADDRESS.encode() + b"\xe4,\n", "line 3 is not valid UTF-8"),
    "a long line": ("r.csv", HEADER + b"x" * 2**21, "line 2 has more than 1,048,576 bytes"),
    "a long record": ("r.csv", HEADER + b'"a\n",' * 2**18, "has more than 1,048,576 bytes"),
    "quoting behind a declared delimiter": ("r.csv", b"sep=;\n" + HEADER + b'"x"x,w1,\n', "at or before line 3"),
    "many columns": ("r.csv", b"a," * 2000 + b"\n", "more than 1,000 columns"),
    "a long text": ("r.csv", HEADER + b"sigma_workbook,w1," + b"x" * 10_001, "name has more than 10,000 characters"),
    "gzip cut short": ("r.csv", gzip.compress(HEADER + ROW * 9)[:-9], "cannot be read"),
    "gzip in gzip": ("r.csv", gzip.compress(gzip.compress(HEADER)), "line 1 is not valid UTF-8"),
    "no zstd": ("r.ndjson", b"\x28\xb5\x2f\xfd" + b"x" * 99, "cannot be read"),
    "no JSON": ("r.ndjson", ADDRESS.encode(), "row 1 is no JSON object"),
    "an array": ("r.json", b'[{"resource_type": "sigma_workbook"}]', "row 1 is no JSON object"),
    "deep JSON": ("r.ndjson", b'{"path": ' + b"[" * 200_000 + b"\n", "row 1 is no JSON object"),
    "a list": ("r.ndjson", b'{"resource_type": "a", "workbook_url_id": "w", "path": ["x"]}', "path of row 1 is no"),
    "a number of 5,000 digits": ("r.ndjson", b'{"name": ' + b"9" * 5000 + b"}", "row 1 is no JSON object"),
    "a time of the future": (
        "r.ndjson",
        b'{"resource_type": "sigma_workbook", "workbook_url_id": "w", "created_at": 9223372036854775807}',
        "created_at of row 1 is no text, number",
    ),
    "no Parquet": ("r.parquet", b"x" * 1000, "or it is no Parquet file"),
    "an empty file": ("r.parquet", b"", "cannot be read"),
    "a footer cut off": ("r.parquet", b"PAR1" + b"x" * 20 + b"\x14\0\0\0PAR1", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "says"), REFUSED.values(), ids=REFUSED)
def test_a_file_is_refused_in_a_sentence_without_its_content(
    name: str, content: bytes, says: str, tmp_path: Path
) -> None:
    assert says in refusal(tmp_path, name, content)


def parquet(**columns: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table({"resource_type": ["sigma_workbook"], "workbook_url_id": ["w1"], **columns}), target)
    return target.getvalue()


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"path": [["x"]]}, "its column path holds no texts"),
        ({"path": [{"a": ADDRESS}]}, "its column path holds no texts"),
        ({"created_at": pa.array([2**63 - 1], pa.timestamp("us"))}, "created_at cannot be read as"),
        ({"created_at": pa.array([2**63 - 1], pa.timestamp("ms", "Asia/Tokyo"))}, "created_at cannot be read as"),
        ({"created_at": pa.array([2**31 - 1], pa.date32())}, "created_at cannot be read as"),
        ({"created_at": [1e300]}, "created_at cannot be read as"),
        ({"name": [datetime(2026, 1, 1)]}, "name cannot be read as String"),
        ({"name": ["x" * 10_001]}, "name has more than 10,000 characters"),
        ({"name": pa.array([b"\xff"])}, "holds values that cannot be read"),
    ],
)
def test_parquet_of_other_types_is_refused(columns: dict[str, Any], says: str, tmp_path: Path) -> None:
    assert says in refusal(tmp_path, "r.parquet", parquet(**columns))


def test_what_is_odd_but_clear_is_read(tmp_path: Path) -> None:
    file = tmp_path / "r.parquet"
    moment = datetime(2026, 11, 20, 8)
    for unit in ("s", "ms", "us", "ns"):
        content = {"created_at": pa.array([moment], pa.timestamp(unit)), "name": pa.array([b"Sales"])}
        file.write_bytes(parquet(**content))
        found = read_snapshot(str(file))
        assert found["created_at"].item().replace(tzinfo=None) == moment
        assert found["name"].item() == "Sales"
    file.write_bytes(parquet(created_at=[date(2026, 11, 20)], name=[5]))
    assert read_snapshot(str(file)).select("name").item() == "5"
    text = tmp_path / "r.ndjson"
    text.write_text(
        '\n{"resource_type": "sigma_workbook", "workbook_url_id": 123, "name": "a\\ud800b", "is_archived": true, '
        '"created_at": 1763625600000000}\n\n'
    )
    row = read_snapshot(str(text)).row(0, named=True)
    assert (row["workbook_url_id"], row["name"], row["is_archived"]) == ("123", "a?b", True)
    assert row["created_at"].replace(tzinfo=None) == datetime(2025, 11, 20, 8)
    table = tmp_path / "r.csv"
    table.write_bytes(gzip.compress(b"\xef\xbb\xbf" + HEADER + ROW) + gzip.compress(b"\r\nsigma_workbook,w2\n"))
    assert read_snapshot(str(table))["name"].to_list() == ["Sales", None]


def test_a_folder_or_too_many_bytes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ResourcesUnreadable, match="it is a folder"):
        read_snapshot(str(tmp_path / "folder.csv"))
    monkeypatch.setattr(snapshot_file, "FILE_LIMIT", 100)
    assert "more than 100 are not read" in refusal(tmp_path, "r.csv", HEADER + ROW * 9)
    assert "more than the 100 bytes that are read" in refusal(tmp_path, "r.csv", gzip.compress(HEADER + ROW * 99))


# --- files in a bucket


def test_a_file_in_a_bucket_is_read() -> None:
    headers = {"ETag": '"e"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    with http_stub(lambda _: Answer(200, HEADER + ROW, headers)) as stub:
        assert read_snapshot("s3://bucket/a/r.csv", test_s3.impatient(stub))["name"].item() == "Sales"
        assert {request.path for request in stub.requests} == {f"/{test_s3.BUCKET}/a/r.csv"}


def test_a_file_in_a_bucket_that_is_too_long_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_file, "FILE_LIMIT", 100)
    headers = {"ETag": '"e"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    with http_stub(lambda _: Answer(200, b"x" * 1000, headers)) as stub:
        with pytest.raises(ResourcesUnreadable, match="it has 1,000 bytes, and more than 100 are not read"):
            read_snapshot("s3://bucket/r.csv", test_s3.impatient(stub))
        assert [request.method for request in stub.requests] == ["HEAD"]


@pytest.mark.parametrize("name", ["r.parquet", "r.csv", "r.ndjson"])
@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId", "AccessDenied", "SlowDown"])
def test_the_answer_of_a_bucket_is_not_repeated(name: str, code: str) -> None:
    refusing = Answer(503 if code == "SlowDown" else 400, test_s3.failure(code))
    with http_stub(lambda _: refusing) as stub, pytest.raises(StoreError) as raised:
        read_snapshot(f"s3://bucket/folder/{name}", test_s3.impatient(stub))
    test_s3.assert_no_secret(raised.value, test_s3.KEY_ID, test_s3.SECRET, test_s3.TOKEN)
    assert name in str(raised.value)
    assert str(raised.value).endswith("or is the name misspelt?") is (code == "AccessDenied")


def test_a_file_that_is_not_in_the_bucket_is_named() -> None:
    says = r"There is no file s3://bucket/r\.csv"
    with http_stub(lambda _: Answer(404)) as stub, pytest.raises(ResourcesUnreadable, match=says):
        read_snapshot("s3://bucket/r.csv", test_s3.impatient(stub))


# --- any files

ODD_TEXTS = st.sampled_from(
    [
        *(
            "sigma_workbook",
            "sigma_element",
            "w1",
            "",
            " ",
            "\0",
            "ä\u2028",
            "true",
            "1e400",
            "-",
            "\\N",
            "NaN",
            "2026-01-01",
        ),
        *("9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:59", "+262143-01-01T00:00:00Z", "2026-02-30"),
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    ODD_TEXTS,
    st.text(max_size=5),
    st.integers(-(10**30), 10**30),
    st.sampled_from([2**63 - 1, -(2**63), 2**64, 10**400]),
    st.floats(),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner))
NAMES = st.sampled_from([*SCHEMA, "other", ""])
ROWS = st.lists(st.dictionaries(NAMES, VALUES, max_size=6), max_size=4)
BASE = {"resource_type": "sigma_workbook", "workbook_url_id": "w1"}


def read_or_refuse(name: str, content: bytes) -> pl.DataFrame | None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        try:
            return read_snapshot(str(file))
        except (ResourcesRefused, ResourcesUnreadable):
            return None


def assert_usable(found: pl.DataFrame | None) -> None:
    """Whatever was accepted can be shown and written."""
    if found is not None:
        assert found.schema == pl.Schema(SCHEMA)
        found.write_ndjson()
        found.rows()
        str(found)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, ascii_only=st.booleans())
def test_any_ndjson_gives_resources_or_a_sentence(rows: list[dict[str, Any]], *, ascii_only: bool) -> None:
    lines = (json.dumps(BASE | row, ensure_ascii=ascii_only) for row in rows)
    assert_usable(read_or_refuse("r.ndjson", "\n".join(lines).encode(errors="surrogatepass")))


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(NAMES, max_size=4),
    cells=st.lists(st.lists(ODD_TEXTS | st.text(max_size=4), max_size=7), max_size=4),
    damage=st.binary(max_size=3),
    at=st.integers(0, 60),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
)
def test_any_csv_gives_resources_or_a_sentence(
    *, names: list[str], cells: list[list[str]], damage: bytes, at: int, encoding: str
) -> None:
    lines = [",".join([*BASE, *names]), *(",".join([*BASE.values(), *row]) for row in cells)]
    content = "\n".join(lines).encode(encoding, errors="replace")
    assert_usable(read_or_refuse("r.csv", content[:at] + damage + content[at:]))


ARROW_TYPES = st.sampled_from(
    [pa.int64(), pa.uint64(), pa.float64(), pa.float16(), pa.bool_(), pa.null(), pa.date32(), pa.date64(), pa.binary()]
    + [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "+05:30", "Mars/Base")]
    + [pa.time64("us"), pa.duration("ns"), pa.decimal128(38, 2), pa.decimal256(70, 0), pa.month_day_nano_interval()]
    + [pa.list_(pa.int8()), pa.struct({"a": pa.int8()}), pa.large_string(), pa.string_view(), pa.binary(3)]
    + [pa.dictionary(pa.int8(), pa.string()), pa.map_(pa.string(), pa.int8())]
)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), kinds=st.dictionaries(NAMES, ARROW_TYPES, max_size=4), cut=st.integers(-1, 400))
def test_any_parquet_gives_resources_or_a_sentence(
    data: st.DataObject, kinds: dict[str, pa.DataType], cut: int
) -> None:
    columns: dict[str, Any] = {name: [value] for name, value in BASE.items()}
    for name, kind in kinds.items():
        value = data.draw(st.sampled_from([None, 0, 1, 2**31 - 1, -(2**63), 2**63 - 1, "x", b"abc", 1.5, timedelta(9)]))
        try:
            columns[name] = pa.array([value], kind)
        except (pa.ArrowException, OverflowError, TypeError):
            columns[name] = pa.array([None], kind)
    target = io.BytesIO()
    try:
        pq.write_table(pa.table(columns), target)
    except pa.ArrowException:
        return
    content = target.getvalue()
    if cut >= 0:
        byte = data.draw(st.integers(0, 255))
        content = content[:cut] + bytes([byte]) + content[cut + 1 :]
    assert_usable(read_or_refuse("r.parquet", content))


POLARS_TYPES = [
    pl.Int64,
    pl.UInt64,
    pl.Float64,
    pl.Boolean,
    pl.Date,
    pl.Time,
    pl.Datetime("ms"),
    pl.Duration,
    pl.Binary,
]


@settings(max_examples=60, deadline=None)
@given(kinds=st.dictionaries(NAMES, st.sampled_from([*POLARS_TYPES, pl.Datetime("ns"), pl.Object]), max_size=4))
def test_any_frame_conforms_or_is_refused(kinds: dict[str, Any]) -> None:
    columns = [pl.Series(name, [2**63 - 1 if kind in POLARS_TYPES[:2] else None], kind) for name, kind in kinds.items()]
    try:
        assert_usable(conform(pl.DataFrame({**{k: [v] for k, v in BASE.items()}, **{c.name: c for c in columns}}), "x"))
    except ResourcesRefused as refused:
        assert "x" in str(refused)


# --- answers of the API

TOKEN = Answer(200, b'{"access_token": "token-0123456789", "expires_in": 3600}')
SECRET = "the-secret-of-the-client-0123456789"
NO_WORKBOOKS = b'{"entries": [], "nextPage": null}'
WORKBOOK = {"workbookId": "i1", "workbookUrlId": "w1", "name": "Sales", "path": "/x", "url": "https://x/w1"}


def at(stub: HttpStub) -> Credentials:
    return Credentials(stub.url, "client", SECRET)


def discover(stub: HttpStub) -> Discovered:
    return discover_resources(at(stub), lambda _: None, backoff=Backoff(2, 0.0), pages=True)


def api(answers: dict[str, Answer]) -> Callable[[Request], Answer]:
    """What is answered to the paths that begin so; the first that fits."""

    def answer(request: Request) -> Answer:
        everything = {**answers, "/v2/auth/": TOKEN, "/v2/": Answer(200, NO_WORKBOOKS)}
        return next(answer for path, answer in everything.items() if request.path.startswith(path))

    return answer


def of(**content: Any) -> Answer:
    return Answer(200, json.dumps(content).encode())


def listing(**changes: Any) -> Answer:
    return of(entries=[WORKBOOK | changes], nextPage=None)


def models(**changes: Any) -> dict[str, Answer]:
    return {"/v2/dataModels?": of(entries=[{"dataModelId": "d1", "dataModelUrlId": "m1"} | changes], nextPage=None)}


def pages(of_pages: Answer, of_elements: Answer | None = None) -> dict[str, Answer]:
    """A workbook with an element, and what is answered of its pages."""
    return {
        "/v2/workbooks/i1/pages/p1/": of_elements or Answer(200, NO_WORKBOOKS),
        "/v2/workbooks/i1/pages": of_pages,
        "/v2/workbooks/i1/elements": of(entries=[{"elementId": "e1", "name": "Total"}]),
        "/v2/workbooks": listing(),
    }


UNUSABLE: dict[str, tuple[dict[str, Answer], str]] = {
    "a token with a line end": ({"/v2/auth": of(access_token=f"a\r\nX: {SECRET}")}, "holds no access token"),
    "a token of letters beyond ASCII": ({"/v2/auth": of(access_token="tökén")}, "holds no access token"),
    "deep JSON": ({"/v2/workbooks": Answer(200, b"[" * 200_000)}, "the answer is not JSON"),
    "deep JSON in an error": ({"/v2/workbooks": Answer(404, b"[" * 200_000)}, "HTTP 404"),
    "a list as ID": ({"/v2/workbooks": listing(workbookId=["i1"])}, "workbookId is not a text in the answer"),
    "an object as name": ({"/v2/workbooks": listing(name={"a": ADDRESS})}, "name is not a text in the answer"),
    "a long name": ({"/v2/workbooks": listing(name=ADDRESS * 1000)}, "name has more than 10,000 characters"),
    "no truth value": ({"/v2/workbooks": listing(isArchived="yes")}, "isArchived of a workbook"),
    "no page's name": ({"/v2/workbooks": of(entries=[], nextPage={"a": 1})}, "does not name the page after this one"),
    "a page's name of 5,000": ({"/v2/workbooks": of(entries=[], nextPage="x" * 5000)}, "does not name the page"),
    "a page's name of half a pair": ({"/v2/workbooks": of(entries=[], nextPage="\ud800")}, "does not name the page"),
    "a list as element's ID": (
        {"/v2/workbooks/i1/": of(entries=[{"elementId": [1]}]), "/v2/workbooks": listing()},
        "elementId is not a text",
    ),
    "a list as address": ({"/v2/members": of(entries=[{"memberId": "m", "email": [ADDRESS]}])}, "email is not a text"),
    "a list as data model's ID": (models(dataModelId=["d1"]), "dataModelId is not a text in the answer"),
    "a list as data model's URL ID": (models(dataModelUrlId=[ADDRESS]), "dataModelUrlId is not a text in the answer"),
    "a data model's long path": (models(path="x" * 10_001), "path has more than 10,000 characters"),
    "an archived data model": (models(isArchived=1), "isArchived of a workbook is neither true nor false"),
    "data models in a circle": (
        {"/v2/dataModels": of(entries=[], nextPage="again")},
        "GET /v2/dataModels: Sigma names the page after this one a second time",
    ),
    "a list as page's ID": (pages(of(entries=[{"pageId": ["p1"]}])), "pageId is not a text in the answer"),
    "a long page name": (pages(of(entries=[{"pageId": "p1", "name": "x" * 10_001}])), "name has more than 10,000"),
    "pages in a circle": (pages(of(entries=[], nextPage="again")), "names the page after this one a second time"),
    "elements of a page in a circle": (
        pages(of(entries=[{"pageId": "p1"}]), of(entries=[], nextPage="again")),
        "GET /v2/workbooks/i1/pages/p1/elements: Sigma names the page after this one a second time",
    ),
    "a list as element's ID on a page": (
        pages(of(entries=[{"pageId": "p1"}]), of(entries=[{"elementId": [1]}])),
        "elementId is not a text",
    ),
    "a strange encoding": ({"/v2/workbooks": Answer(200, b"x", {"Content-Encoding": "gzip"})}, "GET /v2/workbooks"),
}


@pytest.mark.parametrize(("answers", "says"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_answer_that_is_none_of_sigmas_is_told_in_a_sentence(answers: dict[str, Answer], says: str) -> None:
    with http_stub(api(answers)) as stub, pytest.raises(SigmaApiError) as raised:
        discover(stub)
    assert says in str(raised.value)
    test_s3.assert_no_secret(raised.value, SECRET, ADDRESS)


def test_odd_pages_and_data_models_are_kept_and_can_be_written() -> None:
    odd = pages(
        of(entries=[{"name": "no ID"}, {"pageId": "p1", "name": "\ud800\0"}, {"pageId": "p1"}, {"pageId": "p2"}]),
        of(entries=[{"elementId": "e1"}, {"elementId": "e9"}, {}]),
    )
    with http_stub(api(odd | models(name="\ud800\0", dataModelId=None))) as stub:
        found = discover(stub).resources
    assert found.select("resource_type", "workbook_url_id", "name", "page_id", "page_name").rows() == [
        ("sigma_data_model", "m1", "?\0", None, None),
        ("sigma_element", "w1", "Total", "p1", None),
        ("sigma_workbook", "w1", "Sales", None, None),
    ]
    found.write_ndjson()


MEMBER = {"memberId": "m1", "email": ADDRESS, "firstName": "Ann", "lastName": "Lee", "memberType": "Viewer"}


def members(**changes: Any) -> dict[str, Answer]:
    """One member, in one team."""
    return {
        "/v2/members": of(entries=[MEMBER | changes], nextPage=None),
        "/v2/teams/t1/members": of(entries=[{"userId": "m1"}], nextPage=None),
        "/v2/teams": of(entries=[{"teamId": "t1", "name": "Sales"}], nextPage=None),
    }


def team(**changes: Any) -> dict[str, Answer]:
    return members() | {"/v2/teams": of(entries=[{"teamId": "t1", "name": "Sales"} | changes], nextPage=None)}


def who(stub: HttpStub) -> DiscoveredMembers:
    return discover_members(at(stub), lambda _: None, backoff=Backoff(2, 0.0))


UNUSABLE_MEMBERS: dict[str, tuple[dict[str, Answer], str]] = {
    "no member ID": (members(memberId=None), "memberId is missing in the answer"),
    "a blank member ID": (members(memberId=" "), "memberId is missing in the answer"),
    "a list as address": (members(email=[ADDRESS]), "email is not a text in the answer"),
    "an object as name": (members(firstName={"a": ADDRESS}), "firstName is not a text in the answer"),
    "a long name": (members(lastName=ADDRESS * 1000), "lastName has more than 10,000 characters"),
    "no truth value": (members(isArchived="yes"), "isArchived of a member is neither true nor false"),
    "no time": (members(createdAt=f"of {ADDRESS}"), "createdAt of a member is not a time in the answer"),
    "a time out of bounds": (members(createdAt="+262143-01-01T00:00:00Z"), "createdAt of a member is not a time"),
    "no entries": ({"/v2/members": Answer(200, b"[]")}, "GET /v2/members: the answer is not a JSON object"),
    "no team ID": (team(teamId=""), "teamId is missing in the answer"),
    "a long team name": (team(name="x" * 10_001), "name has more than 10,000 characters"),
    "a list as team name": (team(name=[ADDRESS]), "name is not a text in the answer"),
    "no truth value of a team": (team(isArchived=1), "isArchived of a team is neither true nor false"),
    "teams in a circle": (
        {"/v2/teams": of(entries=[], nextPage="again")},
        "GET /v2/teams: Sigma names the page after this one a second time",
    ),
    "members in a circle": (
        {"/v2/members": of(entries=[MEMBER], nextPage="again")},
        "GET /v2/members: Sigma names the page after this one a second time",
    ),
    "no user ID": (
        {"/v2/teams/t1/members": of(entries=[{"memberId": "m1"}])} | {"/v2/teams": team()["/v2/teams"]},
        "userId is missing in the answer",
    ),
}


@pytest.mark.parametrize(("answers", "says"), UNUSABLE_MEMBERS.values(), ids=UNUSABLE_MEMBERS)
def test_members_that_are_none_of_sigmas_are_told_in_a_sentence(answers: dict[str, Answer], says: str) -> None:
    with http_stub(api(answers)) as stub, pytest.raises(SigmaApiError) as raised:
        who(stub)
    assert says in str(raised.value)
    test_s3.assert_no_secret(raised.value, SECRET, ADDRESS)


def test_odd_texts_of_members_and_teams_are_kept_and_can_be_written() -> None:
    odd = members(firstName="A\0nn", lastName="L\ud800ee", email=7, userKind="\u2028", memberType="\ud800")
    odd["/v2/teams"] = of(entries=[{"teamId": "t1", "name": "\ud800\0"}], nextPage="")
    with http_stub(api(odd)) as stub:
        found = who(stub).members
    assert found.drop("created_at").rows() == [("m1", "7", "A\0nn L?ee", "?", None, ["?\0"], True)]
    found.write_ndjson()


def test_members_on_pages_that_move_are_there_once() -> None:
    def page(request: Request) -> Answer:
        if not request.path.startswith("/v2/members"):
            return everything(request)
        last = "page=2" in request.path
        return of(
            entries=[MEMBER, MEMBER | {"firstName": "Di"}, MEMBER | {"memberId": "m2"}][last:], nextPage=[2, None][last]
        )

    everything = api(members())
    with http_stub(page) as stub:
        found = who(stub)
    assert found.members.select("member_id", "name", "teams").rows() == [("m1", "Di Lee", ["Sales"])]
    assert found.remarks == ("Left out because another one of the same e-mail address is newer or not deactivated: 1.",)


@pytest.mark.parametrize("path", ["/v2/members", "/v2/teams?", "/v2/teams/t1/members"])
def test_more_members_than_any_organization_has_are_not_collected(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ROWS_LIMIT", 10)
    many = of(entries=[MEMBER | {name: str(n) for name in ("memberId", "teamId", "userId")} for n in range(11)])
    with (
        http_stub(api({path: many, **members()} | {path: many})) as stub,
        pytest.raises(SigmaApiError, match="more than 10 workbooks"),
    ):
        who(stub)


@pytest.mark.parametrize("status", [400, 403])
def test_credentials_that_are_revoked_on_the_way_end_the_discovery(status: int) -> None:
    tokens = iter([TOKEN])
    answer = api({"/v2/workbooks/": Answer(401), "/v2/workbooks": listing()})

    def revoked(request: Request) -> Answer:
        return next(tokens, Answer(status)) if request.path.startswith("/v2/auth/") else answer(request)

    # Not a workbook that cannot be read: nothing can.
    with http_stub(revoked) as stub, pytest.raises(SigmaRefused, match=f"HTTP {status}. .* does not accept"):
        discover(stub)


@pytest.mark.parametrize("seconds", [10**400, 1e308, -5, 0, True, "soon", None, [1]])
def test_whatever_a_token_says_of_its_end_it_is_used(seconds: object) -> None:
    token = json.dumps({"access_token": "token-0123456789", "expires_in": seconds}).encode()
    with http_stub(api({"/v2/auth": Answer(200, token)})) as stub:
        assert discover(stub).resources.is_empty()


@pytest.mark.parametrize(
    "asked", ["Mon, 1 Jan 2026 00:00:00 +99999999999999", "9" * 400, "-1", "soon", "1e400", "\xb2"]
)
def test_an_odd_pause_is_none(asked: str) -> None:
    limited = api({"/v2/workbooks": Answer(503, headers={"Retry-After": asked})})
    with http_stub(limited) as stub, pytest.raises(SigmaUnavailable, match="HTTP 503"):
        discover(stub)


def test_a_list_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sigma_api, "PAGES_LIMIT", 20)
    pages = count()
    answer = api({})

    def endless(request: Request) -> Answer:
        return of(entries=[], nextPage=str(next(pages))) if "/v2/workbooks" in request.path else answer(request)

    with http_stub(endless) as stub, pytest.raises(SigmaApiError, match="more than 20 pages"):
        discover(stub)


def test_more_workbooks_than_a_snapshot_may_have_are_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ROWS_LIMIT", 10)
    many = of(entries=[WORKBOOK | {"workbookId": str(n)} for n in range(11)])
    with http_stub(api({"/v2/workbooks": many})) as stub, pytest.raises(SigmaApiError, match="more than 10 workbooks"):
        discover(stub)


DRIPPING = {"/v2/workbooks": Answer(200, b" " * 1000, drip=0.05)}


def test_a_body_in_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sigma_api, "ANSWER_SECONDS", 0.2)
    started = time.monotonic()
    with http_stub(api(DRIPPING)) as stub, pytest.raises(SigmaUnavailable, match="TimeoutError after 2 attempts"):
        discover(stub)
    assert time.monotonic() - started < 5


def test_a_discovery_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "DISCOVERY_SECONDS", 0.2)
    with http_stub(api(DRIPPING)) as stub, pytest.raises(SigmaUnavailable, match="takes longer than 0 minutes"):
        discover(stub)


@pytest.fixture(scope="module")
def any_answers() -> Iterator[tuple[HttpStub, dict[str, Answer]]]:
    answers: dict[str, Answer] = {}
    with http_stub(api(answers)) as stub:
        yield stub, answers


FIELDS = st.sampled_from(
    [
        *(*WORKBOOK, "ownerId", "isArchived", "tags", "taggedWorkbookId", "elementId"),
        *(*MEMBER, "userKind", "isInactive", "createdAt", "teamId", "userId", "pageId", "pageName"),
        *("dataModelId", "dataModelUrlId"),
    ]
)
ENTRIES = st.lists(st.dictionaries(FIELDS, VALUES, max_size=4) | VALUES, max_size=3)
# What answers a list.
ANSWERS = st.builds(lambda entries, page: {"entries": entries, "nextPage": page}, ENTRIES, st.none() | VALUES) | VALUES


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(
    workbooks=ENTRIES, others=st.lists(ANSWERS, min_size=4, max_size=4), status=st.sampled_from([200, 200, 404, 503])
)
def test_any_answers_give_resources_or_a_sentence(
    any_answers: tuple[HttpStub, dict[str, Answer]], workbooks: list[Any], others: list[Any], status: int
) -> None:
    stub, answers = any_answers
    answers.clear()
    known = [WORKBOOK | entry if isinstance(entry, dict) else entry for entry in workbooks]
    answers["/v2/workbooks?"] = of(entries=known)
    for path, content in zip(("/v2/workbooks/", "/v2/dataModels", "/v2/members", "/v2/auth"), others, strict=True):
        token = {"access_token": "t", "expires_in": content} if path == "/v2/auth" else content
        answers[path] = Answer(status if path == "/v2/workbooks/" else 200, json.dumps(token).encode())
    for ask in (discover, lambda stub: list_workbooks(at(stub))):
        try:
            ask(stub)
        except OperatorError as told:
            assert SECRET not in str(told)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(people=ENTRIES, others=st.lists(ANSWERS, min_size=2, max_size=2), status=st.sampled_from([200, 200, 404, 503]))
def test_any_answers_give_members_or_a_sentence(
    any_answers: tuple[HttpStub, dict[str, Answer]], people: list[Any], others: list[Any], status: int
) -> None:
    stub, answers = any_answers
    answers.clear()
    answers["/v2/members"] = of(entries=[MEMBER | entry if isinstance(entry, dict) else entry for entry in people])
    for path, content in zip(("/v2/teams/", "/v2/teams"), others, strict=True):
        answers[path] = Answer(status if path == "/v2/teams/" else 200, json.dumps(content).encode())
    try:
        found = who(stub).members
    except OperatorError as told:
        assert SECRET not in str(told)
    else:
        assert found.schema == pl.Schema(MEMBERS)
        found.write_ndjson()
        found.rows()


# --- memory


def many_rows() -> bytes:
    target = io.BytesIO()
    rows = pa.array(["sigma_workbook"] * 10**6)
    table = pa.table(dict.fromkeys(("resource_type", "workbook_url_id", "name"), rows))
    with pq.ParquetWriter(target, table.schema) as writer:
        for _ in range(20):
            writer.write_table(table)
    return target.getvalue()


def large_texts() -> bytes:
    target = io.BytesIO()
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 10**5, pa.int32()), pa.array(["x" * 10**6]))
    pq.write_table(pa.table({"resource_type": texts, "workbook_url_id": texts}), target, compression="zstd")
    return target.getvalue()


def packed(line: bytes) -> bytes:
    return gzip.compress(HEADER) + gzip.compress(line * (2**25 // len(line))) * 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("r.parquet", many_rows, "it has 20,000,000 rows, and more than 2,000,000 are not read"),
        ("r.parquet", large_texts, "more than the 268,435,456 bytes that are read"),
        ("r.csv", lambda: packed(b"\n"), "more than the 2,000,000 lines that are read"),
        ("r.csv", lambda: packed(b"x" * 2**20 + b"\n"), "more than 1,048,576 bytes"),
        ("r.csv", lambda: packed(b'"' + b"x" * 50_000 + b'",w,\n'), "more than the 268,435,456 bytes"),
    ],
    ids=["many rows", "large texts", "blank lines", "long lines", "long fields"],
)
def test_a_small_file_that_holds_much_takes_little_memory(
    name: str, content: Callable[[], bytes], says: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_bytes(content())
    assert file.stat().st_size < 5 * 10**6
    said, memory = measure(str(file))
    assert says in said
    assert memory < MEMORY


@pytest.mark.slow
def test_an_answer_that_expands_without_end_takes_little_memory() -> None:
    body = gzip.compress(b'{"entries": [], "x": "' + b"x" * 400_000_000 + b'"}', 6)
    with http_stub(api({"/v2/workbooks": Answer(200, body, {"Content-Encoding": "gzip"})})) as stub:
        said, memory = measure(stub.url)
    assert "GET /v2/workbooks: the answer is longer than 32 MiB" in said
    assert memory < MEMORY


def test_more_rows_than_a_snapshot_may_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "ROWS_LIMIT", 2)
    with pytest.raises(ResourcesRefused, match="has 3 rows, and more than 2 are not accepted"):
        conform(pl.DataFrame({name: [value] * 3 for name, value in BASE.items()}), "x")
