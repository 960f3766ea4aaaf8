"""The members of a file: what it must hold, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from sigma_impressions.errors import ResourcesRefused, ResourcesUnreadable
from sigma_impressions.upstream.members import MEMBERS
from sigma_impressions.upstream.members_file import read_members

ROWS = [
    {"email": "Ann@X.org", "name": "Ann", "account_type": "Creator", "kind": "internal", "teams": ["HR", "Finance"]},
    {"email": "bob@x.org", "is_active": False, "created_at": "2026-01-02T03:04:05Z", "teams": [], "member_id": "b"},
]


def csv(path: Path) -> Path:
    path = path / "members.csv"
    path.write_text(
        "email;name;account_type;kind;teams;created_at;is_active;member_id;more\n"
        'Ann@X.org;Ann;Creator;internal;"HR; Finance|HR";;;;\n'
        'bob@x.org;;;;"|";2026-01-02;no;b;x\n'
    )
    return path


def ndjson(path: Path) -> Path:
    path = path / "members.ndjson"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def parquet(path: Path) -> Path:
    path = path / "members.parquet"
    pl.DataFrame(ROWS, infer_schema_length=None).write_parquet(path)
    return path


@pytest.mark.parametrize("write", [csv, ndjson, parquet])
def test_members_are_read_from_every_kind_of_file(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    found = read_members(str(write(tmp_path)))
    assert found.schema == pl.Schema(MEMBERS)
    ann, bob = found.to_dicts()
    assert ann | {"created_at": None} == {
        "member_id": "ann@x.org",
        "email": "Ann@X.org",
        "name": "Ann",
        "account_type": "Creator",
        "kind": "internal",
        "teams": ["Finance", "HR"],
        "created_at": None,
        "is_active": True,
    }
    assert (bob["member_id"], bob["teams"], bob["is_active"], bob["created_at"].year) == ("b", [], False, 2026)


def test_teams_that_the_file_does_not_have_are_not_known(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("email\nann@x.org\n")
    assert read_members(str(tmp_path / "m.csv"))["teams"].to_list() == [None]


@pytest.mark.parametrize(
    ("written", "teams"),
    [
        ('["R&D; Labs", "HR", "HR"]', ["HR", "R&D; Labs"]),
        ("[]", []),
        ("[1, null]", ["1"]),
        ("[[1]]", ["[[1]]"]),
        ("[Old]; HR", ["HR", "[Old]"]),
        ("", []),
        (" ", []),
        (None, None),
    ],
)
def test_a_text_may_be_a_list_in_json_and_an_empty_one_is_no_team(
    tmp_path: Path, written: str | None, teams: list[str] | None
) -> None:
    frame = pl.DataFrame({"email": ["a@x.org"], "teams": [written]}, schema={"email": pl.String, "teams": pl.String})
    frame.write_parquet(tmp_path / "m.parquet")
    assert read_members(str(tmp_path / "m.parquet"))["teams"].to_list() == [teams]
    if written is not None:
        frame.write_csv(tmp_path / "m.csv")
        assert read_members(str(tmp_path / "m.csv"))["teams"].to_list() == [teams]


def test_what_databases_write_for_null_is_none(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "email,name,teams,created_at,is_active\na@x.org,NULL,\\N,NULL,\\N\nb@x.org,Null,,,\n"
    )
    found = read_members(str(tmp_path / "m.csv"))
    assert found.select("name", "teams", "created_at", "is_active").rows() == [
        (None, None, None, True),
        ("Null", [], None, True),
    ]


def test_a_name_with_a_separator_is_one_team_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "m.ndjson").write_text(json.dumps({"email": "a@x.org", "teams": ["R&D; Labs", None]}))
    assert read_members(str(tmp_path / "m.ndjson"))["teams"].to_list() == [["R&D; Labs"]]


REFUSED = {
    "name\nAnn\n": "lacks the column email",
    'email\nann@x.org\n""\n': "email is missing: row 2",
    "email\nNULL\n": "email is missing: row 1",
    "email\nann@x.org\nANN@x.org\n": "the same e-mail address is there twice: row 1, row 2",
    "email,member_id\nann@x.org,1\nbob@x.org,1\n": "two members have the same member_id: row 1, row 2",
    "email,is_active\nann@x.org,perhaps\n": "is_active cannot be read as Boolean in row 1",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_used_is_refused_without_naming_anybody(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ResourcesRefused, match=REFUSED[text]) as refused:
        read_members(str(tmp_path / "m.csv"))
    assert "@" not in str(refused.value)


def test_a_file_that_is_not_there_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ResourcesUnreadable, match="Set SIGMA_IMPRESSIONS_MEMBERS to where"):
        read_members(str(tmp_path / "m.csv"))
