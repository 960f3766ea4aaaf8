"""Pseudonyms: the same user has the same one, whoever computes it; and nothing else of a row tells who it was."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigma_impressions.check.exports import _told_of_rows
from sigma_impressions.exports.reading.headers import read_header
from sigma_impressions.exports.reading.normalize import normalize_file
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.exports.reading.rules import ReadingRules, holds_pseudonyms, pseudonymous_fingerprint
from sigma_impressions.exports.reading.small_files import SmallFile, normalize_small_files
from sigma_impressions.lake.schemas import ALL_TABLES
from sigma_impressions.upstream.contract import SCHEMA
from sigma_impressions.users import PSEUDONYM, Kind, Pseudonyms, kind_of, pseudonymous_rows, shape_of, shortened

KEY = "correct horse battery staple"
PSEUDONYMS = Pseudonyms(KEY)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

USERS = st.one_of(st.emails(), st.text(min_size=1).filter(lambda text: text.strip() and "\0" not in text))


def test_a_pseudonym_is_the_begin_of_a_keyed_hash() -> None:
    expected = hmac.new(KEY.encode(), b"ann@example.com", hashlib.sha256).hexdigest()[:24]
    assert PSEUDONYMS.of(pl.Series([" Ann@Example.COM "])).to_list() == [f"user_{expected}"]


@given(st.lists(st.one_of(st.none(), USERS)))
def test_pseudonyms_are_as_many_as_users(users: list[str | None]) -> None:
    same = pl.Series(users, dtype=pl.String).str.strip_chars().str.to_lowercase()
    names = PSEUDONYMS.of(pl.Series(users, dtype=pl.String))
    assert names.null_count() == same.null_count()
    pairs = pl.DataFrame({"user": same, "name": names}).drop_nulls().unique()
    assert pairs.height == pairs["user"].n_unique() == pairs["name"].n_unique()
    assert names.drop_nulls().str.contains(PSEUDONYM).all()


def test_another_key_gives_other_pseudonyms_and_is_shown_nowhere() -> None:
    other = Pseudonyms("x" * 16)
    assert other.of_one("ann@example.com") != PSEUDONYMS.of_one("ann@example.com")
    fingerprints = {ReadingRules(pseudonyms=names).fingerprint() for names in (None, PSEUDONYMS, other)}
    assert len(fingerprints) == 3
    assert KEY not in repr(ReadingRules(pseudonyms=PSEUDONYMS)) + PSEUDONYMS.key_id


def test_the_fingerprint_tells_whether_there_are_addresses() -> None:
    email, pseudonym = ReadingRules("Asia/Tokyo"), ReadingRules("Asia/Tokyo", pseudonyms=PSEUDONYMS)
    assert not holds_pseudonyms(email.fingerprint())
    assert holds_pseudonyms(pseudonym.fingerprint())
    assert pseudonym.fingerprint() == pseudonymous_fingerprint(email.fingerprint(), PSEUDONYMS)
    # Another one means that every captured file is to be read again.
    assert ReadingRules().fingerprint() == "0d768bd4c5605cc7"


EXPORT = """Request Time,User Email,User Name,Workbook URL ID,Count
2026-11-20 08:00:00,Ann@Example.com,Ann Lee,wb1,1
2026-11-20 08:01:00, ann@example.com,Ann Lee,wb1,1
2026-11-20 08:02:00,robot@bots.example.com,Robot,wb1,1
2026-11-20 08:03:00,bob@example.com,Bob Orr,wb1,a/n
11/20/2026 8:04 AM,jorr,Jo Orr,wb1,1
2026-11-20 08:05:00,cyd@example.com,"Cyd ""é"" Day"
"""


@pytest.mark.parametrize("small", [False, True])
def test_what_an_export_file_gives_with_pseudonyms(small: bool, tmp_path: Path) -> None:
    file, accepted, rejected = (tmp_path / name for name in ("file", "accepted.parquet", "rejected.parquet"))
    file.write_text(EXPORT)
    rules = ReadingRules(excluded_users=("*@bots.example.com",), pseudonyms=PSEUDONYMS)
    if small:
        (read,) = normalize_small_files(
            [SmallFile(file, NOON, "a")],
            rules=rules,
            accepted_to=accepted,
            rejected_to=rejected,
            scratch=tmp_path,
            labels={},
        )
    else:
        read = normalize_file(
            file, last_modified=NOON, rules=rules, accepted_to=accepted, rejected_to=rejected, scratch=tmp_path
        )
    assert not isinstance(read, RefusedFile | None)
    assert (read.accepted, read.rejected, read.skipped) == (2, 3, 1)
    assert set(pl.read_parquet(accepted)["user_email"]) == {PSEUDONYMS.of_one("ann@example.com")}
    assert pl.read_parquet(rejected)["text"].to_list() == [
        "0000-00-00 00:00:00,xxx@xxxxxxx.xxx,xxx xxx,xx0,x/x",
        "00/00/0000 0:00 xx,xxxx,xx xxx,xx0,0",
        '0000-00-00 00:00:00,xxx@xxxxxxx.xxx,"xxx ""x"" xxx"',
    ]


def test_the_test_of_a_source_names_nobody(tmp_path: Path) -> None:
    file, accepted, rejected = (tmp_path / name for name in ("file", "accepted.parquet", "rejected.parquet"))
    file.write_text("time,user,workbook,of ann@example.com\nat noon,jorr,wb1,Jo Orr\n")
    read = normalize_file(
        file, last_modified=NOON, rules=ReadingRules(), accepted_to=accepted, rejected_to=rejected, scratch=tmp_path
    )
    assert "1 are unparseable_request_time, such as 'xx xxxx,xxxx,xx0,xx xxx' (x" in _told_of_rows(read, rejected)
    assert read.unused_columns == ("of [address]",)


@given(st.text())
def test_a_shape_holds_no_letter_and_no_digit(text: str) -> None:
    shape = pl.DataFrame({"text": [text]}).select(shape_of(pl.col("text"))).item()
    assert not [c for c in shape if (c.isalpha() and c != "x") or (c.isdecimal() and c != "0")]
    assert [c for c in shape if c not in "x0"] == re.findall(r"[^\w]|_", shape)
    assert pl.DataFrame({"text": [shape]}).select(shape_of(pl.col("text"))).item() == shape


def test_the_row_of_a_file_without_a_header_is_not_shown() -> None:
    with pytest.raises(RefusedFile) as caught:
        read_header(["2026-11-20 08:00", "ann@example.com", "Ann Lee"], ",", {})
    assert "'0000-00-00 00:00', 'xxx@xxxxxxx.xxx', 'xxx xxx', which looks like a row" in caught.value.detail
    with pytest.raises(RefusedFile, match="has 'Zeit', 'Person'"):
        read_header(["Zeit", "Person"], ",", {})


def test_users_in_records_are_shortened() -> None:
    name = PSEUDONYMS.of_one("ann")
    users = {
        "ann.lee@example.com": "a…@example.com",
        "e@example.com": "…@example.com",
        name: f"{name[:9]}…",
        "annleesurname": "a…",
        "ann lee": "a…",
        "jo": "…",
        "e": "…",
        "": "…",
        "ann.lee@\nexample.com": "a…",
        "ann\nlee@example.com": "a…@example.com",
        "ann@lee surname": "a…",
        "ann%40example.com": "a…",
        None: None,
    }
    rows = pl.DataFrame({"user_email": list(users)})
    assert rows.select(shortened(pl.col("user_email")))["user_email"].to_list() == list(users.values())


@given(USERS)
def test_no_record_shows_a_user_in_full(user: str) -> None:
    shown = pl.DataFrame({"user_email": [user]}).select(shortened(pl.col("user_email"))).item()
    assert "…" in shown
    assert user not in shown.replace("…", "")


def test_resources_without_addresses() -> None:
    resource = {
        "resource_type": "sigma_workbook",
        "workbook_url_id": "wb1",
        "name": "Copy of Ann.Lee@example.com's report, v2 @ work",
        "path": "My Documents/ann.lee@example.com/Sub",
        "url": "https://app.sigmacomputing.com/acme/workbook/x-wb1?:u=ann.lee%40example.com",
        "page_name": "For ann.lee@example.com",
        "owner_email": " Ann.Lee@Example.com",
    }
    found = pseudonymous_rows(pl.DataFrame([resource, resource | {"owner_email": None}], schema=SCHEMA), PSEUDONYMS)
    assert found["owner_email"].to_list() == [PSEUDONYMS.of_one("ann.lee@example.com"), None]
    assert found["path"][0] == "My Documents/[address]/Sub"
    assert found["page_name"][0] == "For [address]"
    assert found["name"][0] == "Copy of [address]'s report, v2 @ work"
    assert found["url"][0] == "https://app.sigmacomputing.com/acme/workbook/[address]"
    assert found["workbook_url_id"][0] == "wb1"


def test_every_column_of_texts_is_looked_at_unless_it_is_the_program_s_own() -> None:
    columns = {name for table in ALL_TABLES for name in table.schema}
    left = {name for name in columns if kind_of(name) is None}
    assert left == {
        *("bucket", "key", "version", "read_from"),
        *("file_id", "capture_id", "snapshot_id", "fingerprint", "rules_fingerprint", "content_digest"),
        *("table_name", "partition", "file", "captures"),
        *("status", "reason", "resource_type"),
    }
    ids = {name for name in columns if kind_of(name) is Kind.ID}
    assert ids == {"workbook_id", "workbook_url_id", "element_id", "event_id", "page_id", "alias_id", "member_id"}
    assert kind_of("a_new_column") is Kind.TEXT
    assert kind_of("another_email") is Kind.USER
