"""With pseudonyms no address is anywhere: not in storage, Dagster's records, logs or files.

The people are those of the demo, and somebody whose address stands where none belongs, in every form.
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
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from sigma_impressions.demo.generate import PREFIX
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
from sigma_impressions.users import PSEUDONYM, Pseudonyms
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.servers.processes import sigma_impressions
from sigma_impressions_tests.servers.results import DATABASE, TODAY, fill, settings
from sigma_impressions_tests.upkeep.test_edit_users import DESCRIBED, FORMS, MIXED_UP, OTHERS, typed

KEY = "the key of the demo's pseudonyms"
PSEUDONYMOUS = {"SIGMA_IMPRESSIONS_USERS": "pseudonym", "SIGMA_IMPRESSIONS_USERS_KEY": KEY}
ADDRESS = re.compile(rf"[\w.+-]+@{re.escape(MAIL_DOMAIN)}")

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


def contents(storage: Path) -> dict[str, str]:
    """Every value of every table, as text, whatever the files are compressed with."""
    tables = Tables(storage)
    found = {
        table.name: json.dumps(tables.read(table).collect().to_dicts(), default=str, ensure_ascii=False)
        for table in ALL_TABLES
    }
    with duckdb.connect(str(storage / DATABASE), read_only=True) as connection:
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
    return ""


def holding(folder: Path, *texts: str) -> set[str]:
    """The files and tables in which one of the texts stands, in any case."""
    parts = ("data", "dagster_home", "out")
    files = {path: path.stat() for part in parts for path in (folder / part).rglob("*") if path.is_file()}
    found = {
        str(path.relative_to(folder)): searched(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        for path, stat in files.items()
    }
    found |= {name: values.lower().encode() for name, values in contents(folder / "data").items()}
    needles = [text.lower().encode() for text in texts]
    return {name for name, content in found.items() if any(needle in content for needle in needles)}


@pytest.fixture
def command(s3_bucket: Any, tmp_path: Path) -> Command:
    """Run a command over three days of exports; nothing that it says holds an address or the key."""
    fill(s3_bucket, 3)
    given = settings(s3_bucket, tmp_path)
    add_mixed_up(s3_bucket, Path(given["SIGMA_IMPRESSIONS_RESOURCES"]))
    members = tmp_path / "members.csv"
    members.write_text(f"email,name,teams\nAnn.Lee@x.org,Annleesurname,HR;of ann.lee@x.org\nzoe@{MAIL_DOMAIN},Zoe,HR\n")
    given["SIGMA_IMPRESSIONS_MEMBERS"] = str(members)

    def run(*arguments: str, ends: int = 0, **changed: str) -> subprocess.CompletedProcess[str]:
        ended = sigma_impressions(*arguments, env=environment(tmp_path, {**given, **changed}))
        said = ended.stdout + ended.stderr
        assert ended.returncode == ends, said
        assert "Traceback" not in said
        assert ADDRESS.search(said) is None
        assert "ann.lee" not in said.lower()
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


def test_with_pseudonyms_no_address_is_anywhere(command: Command, tmp_path: Path) -> None:
    command("check", **PSEUDONYMOUS)
    command("run", **PSEUDONYMOUS)
    command("maintain", **PSEUDONYMOUS, SIGMA_IMPRESSIONS_KEEP_DETAIL_DAYS="35")
    command("export", "tables", "--to", str(tmp_path / "out"), **PSEUDONYMOUS)
    assert holding(tmp_path, f"@{MAIL_DOMAIN}", "ann.lee", "annleesurname", KEY) == set()
    tables = Tables(tmp_path / "data")
    for table, column in (
        (NORMALIZED_IMPRESSIONS, "user_email"),
        (DAILY_IMPRESSIONS, "user_email"),
        (USER_ACTIVITY, "user_email"),
        (SIGMA_RESOURCES, "owner_email"),
        (SIGMA_MEMBERS, "user_email"),
    ):
        users = tables.read(table).collect()[column]
        assert users.len() > 0
        assert users.str.contains(PSEUDONYM).all()
    assert tables.read(REJECTED_ROWS).collect()["text"].str.contains("@").any()
    assert pl.read_csv(tmp_path / "out" / "user_activity.csv").height > 100


def test_addresses_that_are_stored_become_pseudonyms_and_a_user_is_forgotten(command: Command, tmp_path: Path) -> None:
    command("run")
    before = figures(tmp_path)
    users = Tables(tmp_path / "data").read(USER_ACTIVITY).collect().sort("total_impressions_60d")["user_email"]
    users = users.filter(users.str.ends_with(MAIL_DOMAIN))
    quiet, busy = users[0], users[-1]
    # Where the search looks, it finds. Dagster's records never hold a whole address.
    found = holding(tmp_path, busy)
    assert {"normalized_impressions", "daily_impressions", "published user_activity"} <= found
    assert not any(name.startswith("dagster_home") for name in found)
    found = holding(tmp_path, "ann.lee", "annleesurname")
    assert {"unmatched_impressions", "export_files", "published sigma_resources"} <= found
    assert not any(name.startswith("dagster_home") for name in found)

    said = command("forget", "e", ends=1).stderr
    assert "neither an e-mail address nor a user" in said
    command("forget", "Ann.Lee@X.org")
    command("forget", "annleesurname")
    assert holding(tmp_path, *FORMS[2:], "annleesurname") == set()
    assert holding(tmp_path, *OTHERS) >= {"normalized_impressions", "unmatched_impressions"}
    assert figures(tmp_path) == before

    said = command("forget", quiet.upper()).stdout
    assert "SIGMA_IMPRESSIONS_EXCLUDED_USERS" in said
    assert holding(tmp_path, quiet) == set()
    assert figures(tmp_path) == before

    refused = command("run", ends=1, **PSEUDONYMOUS)
    assert "sigma-impressions pseudonymize" in refused.stdout + refused.stderr
    command("pseudonymize", **PSEUDONYMOUS)
    command("run", **PSEUDONYMOUS)
    # In Dagster's records are the previews of the first run, with addresses that were shortened to a…@….
    found = holding(tmp_path, f"@{MAIL_DOMAIN}")
    assert {name for name in found if not name.startswith("dagster_home")} == set()
    assert holding(tmp_path, quiet, busy, *users.gather_every(40)) == set()
    assert figures(tmp_path) == before

    name = Pseudonyms(KEY).of_one(busy)
    assert {"normalized_impressions", "published user_activity"} <= holding(tmp_path, name)
    command("forget", busy, **PSEUDONYMOUS)
    assert holding(tmp_path, name) == set()
    assert figures(tmp_path) == before
