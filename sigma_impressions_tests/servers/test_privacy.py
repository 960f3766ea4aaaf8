"""With pseudonyms no address or name is anywhere: not in storage, cache, Dagster's records, logs or files.

The people are those of the demo, nearly all of them members, and somebody whose address stands where none belongs, in
every form.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from sigma_impressions.demo.fake_sigma import FakeSigma, Organization
from sigma_impressions.demo.generate import PREFIX
from sigma_impressions.demo.generate import resources as described_resources
from sigma_impressions.demo.members import members as demo_members
from sigma_impressions.demo.members import organization as demo_organization
from sigma_impressions.demo.vocabulary import MAIL_DOMAIN
from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    DAILY_IMPRESSIONS,
    NORMALIZED_IMPRESSIONS,
    REJECTED_ROWS,
    SIGMA_MEMBERS,
    SIGMA_RESOURCES,
    USER_ACTIVITY,
)
from sigma_impressions.lake.tables import Tables
from sigma_impressions.publish.database import published_database
from sigma_impressions.users import PSEUDONYM, Pseudonyms
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.conftest import RemoteStorage, S3Bucket
from sigma_impressions_tests.report.unpacked import Unpacked
from sigma_impressions_tests.servers.processes import sigma_impressions
from sigma_impressions_tests.servers.results import DATABASE, TODAY, fill, settings
from sigma_impressions_tests.upkeep.test_edit_users import DESCRIBED, FORMS, MIXED_UP, OTHERS, typed

KEY = "the key of the demo's pseudonyms"
PSEUDONYMOUS = {"SIGMA_IMPRESSIONS_USERS": "pseudonym", "SIGMA_IMPRESSIONS_USERS_KEY": KEY}
ADDRESS = re.compile(rf"[\w.+-]+@{re.escape(MAIL_DOMAIN)}")

FIRST_NAME, LAST_NAME, MEMBER_ID = "Xanthippe", "Quackenbush", "id-of-sigma-"
"""What is in the name, and in the ID, of every member, and nowhere else."""
PARTNERS = "partner.example"
"""Where the guests and the embedded workbooks of the demo come from, none of whom views."""
OF_PEOPLE = (f"@{MAIL_DOMAIN}", PARTNERS, FIRST_NAME, LAST_NAME, MEMBER_ID, "ann.lee", "annleesurname")

Command = Callable[..., subprocess.CompletedProcess[str]]


NO_ADDRESSES = f"""request_time,user_email,workbook_url_id,count
{TODAY - timedelta(days=1)} 09:00:00,annleesurname,wb1,100000
{TODAY - timedelta(days=1)} 09:00:00,"ann.lee@
x.org",wb1,100000
"""
"""Users without a proper address, who are the most active ones."""


def add_mixed_up(bucket: Any, resources: Path) -> None:
    """Put addresses of one person into every column of the exports, and of the resources into all but their IDs.

    A resource whose ID was forgotten comes back with the next run as another one.
    """
    # Of an earlier day than the newest export, whose sample the command check looks at.
    day = TODAY - timedelta(days=2)
    text = io.StringIO()
    csv.writer(text).writerows(MIXED_UP)
    bucket.put(f"{PREFIX}{day}T10-00-00 a.csv", text.getvalue().replace("2026-11-19", str(day)).encode())
    bucket.put(f"{PREFIX}{day}T10-00-00 b.csv", b"request_time,user_email,of ann.lee%40x.org\n")
    bucket.put(f"{PREFIX}{day}T10-00-00 c.csv", b"time,user_email,workbook_url_id\nat noon,annleesurname,wb1\n")
    bucket.put(f"{PREFIX}{day}T10-00-00 d.csv", NO_ADDRESSES.encode())
    described = typed([one | {"workbook_url_id": f"x{number}"} for number, one in enumerate(DESCRIBED[3:])])
    pl.concat([pl.read_parquet(resources), described], how="diagonal_relaxed").write_parquet(resources)


def organization() -> Organization:
    """The members of the demo, under names and IDs of their own, one without an address, and a team called after one.

    Some of them own resources, some never come, some are deactivated.
    """
    found = demo_organization(TODAY)
    found.add_team("of ann.lee@x.org", [found.add_member("Ann.Lee@x.org"), found.add_member("")])
    found.members[-2]["isInactive"] = True
    for number, member in enumerate(found.members):
        member |= {"firstName": FIRST_NAME, "lastName": f"{LAST_NAME} {number}"}
    for entries in (found.members, *found.team_members.values()):
        entries[:] = json.loads(json.dumps(entries).replace("member-", MEMBER_ID))
    return found


def write_members(file: Path) -> None:
    """Such members as a snapshot file."""
    named = demo_members(TODAY).with_columns(
        name=pl.format(f"{FIRST_NAME} {LAST_NAME} {{}}", pl.int_range(1000, 1000 + pl.len())),
        member_id=pl.col("member_id").str.replace("member-", MEMBER_ID),
    )
    ann = {"email": "Ann.Lee@x.org", "name": "Annleesurname", "teams": ["HR", "of ann.lee@x.org"]}
    pl.concat([named, pl.DataFrame([ann])], how="diagonal").write_parquet(file)


def contents(tables: Tables) -> dict[str, str]:
    """Every value of every table, as text, whatever the files are compressed with."""
    found = {
        table.name: json.dumps(tables.read(table).collect().to_dicts(), default=str, ensure_ascii=False)
        for table in ALL_TABLES
    }
    with duckdb.connect(str(published_database(tables.storage)), read_only=True) as connection:
        for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            found[f"published {name}"] = str(connection.execute(f"FROM {name}").fetchall())
    return found


@cache
def searched(path: Path, inode: int, written_ns: int, size: int) -> bytes:
    """All that is in a file, in small letters; the figures tell it from one that is at the path later."""
    return (path.read_bytes() + unpacked(path).encode()).lower()


def unpacked(path: Path) -> str:
    """What is in a file of which the bytes do not show all: one that is compressed, or cut into pages."""
    if path.suffix == ".parquet":
        return json.dumps(pl.read_parquet(path, hive_partitioning=False).to_dicts(), default=str, ensure_ascii=False)
    if path.suffix == ".db":
        with closing(sqlite3.connect(path)) as connection:
            return "\n".join(connection.iterdump())
    if path.suffix == ".html":
        return json.dumps(Unpacked.of_page(path.read_text(encoding="utf-8")).tables, ensure_ascii=False)
    return ""


def holding(folder: Path, *texts: str, tables: Tables | None = None) -> set[str]:
    """The files and tables in which one of the texts stands, in any case; by default the tables are in `data`."""
    parts = ("data", "dagster_home", "out")
    files = {path: path.stat() for part in parts for path in (folder / part).rglob("*") if path.is_file()}
    found = {
        str(path.relative_to(folder)): searched(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        for path, stat in files.items()
    }
    found |= {name: values.lower().encode() for name, values in contents(tables or Tables(folder / "data")).items()}
    needles = [text.lower().encode() for text in texts]
    return {name for name, content in found.items() if any(needle in content for needle in needles)}


@pytest.fixture
def command(s3_bucket: Any, tmp_path: Path) -> Command:
    """Run a command over three days of exports; nothing that it says holds an address or the key."""
    fill(s3_bucket, 3)
    given = settings(s3_bucket, tmp_path)
    add_mixed_up(s3_bucket, Path(given["SIGMA_IMPRESSIONS_RESOURCES"]))

    def run(*arguments: str, ends: int = 0, **changed: str) -> subprocess.CompletedProcess[str]:
        ended = sigma_impressions(*arguments, env=environment(tmp_path, {**given, **changed}))
        said = ended.stdout + ended.stderr
        assert ended.returncode == ends, said
        assert "Traceback" not in said
        assert ADDRESS.search(said) is None
        assert not any(text.lower() in said.lower() for text in ("ann.lee", FIRST_NAME, LAST_NAME, MEMBER_ID))
        assert KEY not in said
        return ended

    return run


def figures(folder: Path) -> tuple[Any, ...]:
    """Rows, impressions and distinct users, as they are published."""
    # An ID with an address inside is another one later.
    mixed_up = "regexp_matches(concat(workbook_url_id, ' ', element_id), '(?i)x.org|user_|forgotten_')"
    known = f"CASE WHEN NOT {mixed_up} THEN {{0}} END AS {{0}}"
    ids = ", ".join(map(known.format, ("workbook_url_id", "element_id")))
    with duckdb.connect(str(folder / "data" / DATABASE), read_only=True) as connection:
        users = "SELECT count(DISTINCT user_email), sum(total_impressions_60d) FROM user_activity"
        resources = (
            f"SELECT {ids}, total_impressions_60d, distinct_impressions_users_60d, len(used), "
            "distinct_impressions_users_with_elements_60d FROM resource_impressions ORDER BY ALL"
        )
        daily = f"SELECT * REPLACE ({ids}) FROM daily_impressions ORDER BY ALL"
        rejected = "SELECT key, row_number, reason FROM rejected_rows ORDER BY ALL"
        return tuple(connection.execute(query).fetchall() for query in (users, resources, daily, rejected))


def fetched(storage: RemoteStorage, bucket: S3Bucket, folder: Path) -> None:
    """Bring everything that lies in a storage location to a folder."""
    name = storage.uri.split("/")[2]
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=name)
    for item in (item for page in pages for item in page["Contents"]):
        (folder / item["Key"]).parent.mkdir(parents=True, exist_ok=True)
        bucket.client.download_file(name, item["Key"], str(folder / item["Key"]))


def test_with_pseudonyms_no_address_or_name_is_anywhere(
    command: Command, s3_bucket: S3Bucket, s3_storage: RemoteStorage, tmp_path: Path
) -> None:
    given = {**PSEUDONYMOUS, "SIGMA_IMPRESSIONS_STORAGE": s3_storage.uri}
    given["SIGMA_IMPRESSIONS_CACHE"] = str(tmp_path / "data" / "cache")
    with FakeSigma(organization()) as sigma:
        given |= sigma.environment()
        command("check", **given)
        command("run", **given)
        command("maintain", **given, SIGMA_IMPRESSIONS_KEEP_DETAIL_DAYS="35")
    command("export", "tables", "--to", str(tmp_path / "out"), **given)
    command("export", "datahub", "--to", str(tmp_path / "out" / "usage.json"), **given)
    fetched(s3_storage, s3_bucket, tmp_path / "data" / "bucket")
    tables = Tables(tmp_path / "data" / "bucket" / "usage")
    assert holding(tmp_path, *OF_PEOPLE, KEY, tables=tables) == set()
    # Where the search looks, it finds.
    found = holding(tmp_path, Pseudonyms(KEY).of_one(described_resources()["owner_email"][0]), tables=tables)
    assert {"sigma_members", "published sigma_members", "out/sigma_members.csv", "out/usage.json"} <= found
    assert {name.split("/")[1] for name in found if name.endswith("usage_report.html")} == {"bucket", "cache"}
    # Names of teams stay.
    assert {"sigma_members", "published team_usage"} <= holding(tmp_path, "Data Champions", tables=tables)
    for table, column in (
        (NORMALIZED_IMPRESSIONS, "user_email"),
        (DAILY_IMPRESSIONS, "user_email"),
        (USER_ACTIVITY, "user_email"),
        (SIGMA_RESOURCES, "owner_email"),
        (SIGMA_MEMBERS, "user_email"),
    ):
        users = tables.read(table).collect()[column].drop_nulls()
        assert users.len() > 0
        assert users.str.contains(PSEUDONYM).all()
    assert tables.read(REJECTED_ROWS).collect()["text"].str.contains("@").any()
    assert pl.read_csv(tmp_path / "out" / "user_activity.csv").height > 100


def test_addresses_that_are_stored_become_pseudonyms_and_a_user_is_forgotten(command: Command, tmp_path: Path) -> None:
    write_members(tmp_path / "members.parquet")
    command = partial(command, SIGMA_IMPRESSIONS_MEMBERS=str(tmp_path / "members.parquet"))
    command("run")
    before = figures(tmp_path)
    users = Tables(tmp_path / "data").read(USER_ACTIVITY).collect().sort("total_impressions_60d")["user_email"]
    # Members who own nothing: an owner comes back with the resources.
    owners, members = described_resources()["owner_email"], pl.read_parquet(tmp_path / "members.parquet")
    users = users.filter(users.is_in(members["email"].implode()) & ~users.is_in(owners.implode()))
    quiet, busy = users[0], users[-1]
    (name_of_quiet,) = members.filter(pl.col("email") == quiet)["name"]
    # Where the search looks, it finds. Dagster's records never hold a whole address.
    found = holding(tmp_path, busy)
    assert {"normalized_impressions", "daily_impressions", "published user_activity"} <= found
    assert {"sigma_members", "published sigma_members", "data/usage_report.html"} <= found
    found |= holding(tmp_path, LAST_NAME)
    assert not any(name.startswith("dagster_home") for name in found)
    found = holding(tmp_path, "ann.lee", "annleesurname")
    assert {"unmatched_impressions", "export_files", "published sigma_resources"} <= found
    assert not any(name.startswith("dagster_home") for name in found)

    said = command("forget", "e", ends=1).stderr
    assert "neither an e-mail address nor a user" in said
    command("forget", "Ann.Lee@X.org")
    command("forget", "annleesurname", SIGMA_IMPRESSIONS_MEMBERS="none")
    # What is published again at the end holds no members either.
    assert "published sigma_members" not in holding(tmp_path, f"@{MAIL_DOMAIN}", LAST_NAME)
    assert holding(tmp_path, *FORMS[2:], "annleesurname") == set()
    assert holding(tmp_path, *OTHERS) >= {"normalized_impressions", "unmatched_impressions"}
    assert figures(tmp_path) == before

    said = command("forget", quiet.upper()).stdout
    assert "SIGMA_IMPRESSIONS_EXCLUDED_USERS" in said
    assert holding(tmp_path, quiet, name_of_quiet) == set()
    assert "published sigma_members" in holding(tmp_path, LAST_NAME)
    assert figures(tmp_path) == before

    refused = command("run", ends=1, **PSEUDONYMOUS)
    assert "sigma-impressions pseudonymize" in refused.stdout + refused.stderr
    command("pseudonymize", **PSEUDONYMOUS)
    command("run", **PSEUDONYMOUS, SIGMA_IMPRESSIONS_EXCLUDED_USERS=quiet)
    # In Dagster's records are the previews of the first run, with addresses that were shortened to a…@….
    found = holding(tmp_path, f"@{MAIL_DOMAIN}")
    assert {name for name in found if not name.startswith("dagster_home")} == set()
    assert holding(tmp_path, quiet, busy, *users.gather_every(40), FIRST_NAME, LAST_NAME, MEMBER_ID, PARTNERS) == set()
    # Whose members are excluded does not come back with the members.
    assert holding(tmp_path, Pseudonyms(KEY).of_one(quiet)) == set()
    assert figures(tmp_path) == before

    name = Pseudonyms(KEY).of_one(busy)
    assert {"normalized_impressions", "published user_activity", "published sigma_members"} <= holding(tmp_path, name)
    command("forget", busy, **PSEUDONYMOUS)
    assert holding(tmp_path, name) == set()
    assert figures(tmp_path) == before
