"""Users in what is stored already: addresses become pseudonyms, and one user nobody, with every number as it was."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from deltalake import write_deltalake

from sigma_impressions.errors import AddressesStored, UserUnknown
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.insights.insight_tables import INSIGHT_TABLES
from sigma_impressions.lake import tables as tables_module
from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    DAILY_IMPRESSIONS,
    DAILY_TOTALS,
    EXPORT_FILES,
    NORMALIZED_IMPRESSIONS,
    REJECTED_ROWS,
    RESOURCE_COLUMNS,
    SIGMA_MEMBERS,
    SIGMA_RESOURCES,
    USER_ACTIVITY,
    Table,
)
from sigma_impressions.lake.tables import Tables, files_of, scan_files
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import publish_database
from sigma_impressions.upkeep import edit_users as stored_users
from sigma_impressions.upkeep.edit_users import forget_stored, pseudonymize_stored, refuse_stored_addresses
from sigma_impressions.upstream.contract import ALIASES, conform
from sigma_impressions.upstream.members import MEMBERS
from sigma_impressions.upstream.members_stored import as_stored, capture_members
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions.users import Pseudonyms, pseudonymous_rows
from sigma_impressions_tests import cases
from sigma_impressions_tests.exports.bucket import Bucket, scanned
from sigma_impressions_tests.metrics.captured import capture
from sigma_impressions_tests.metrics.reference import Row

pytestmark = pytest.mark.slow

DAY = date(2026, 11, 20)
PSEUDONYMS = Pseudonyms("a key that nobody knows")
EMAIL, PSEUDONYM = ReadingRules(excluded_users=("bot@x.org",)), ReadingRules("UTC", ("bot@x.org",), {}, PSEUDONYMS)
USERS = ("ann.lee@x.org", "bob@x.org", "cyd@x.org", "dan@x.org")
FILES = {
    "a.csv": """request_time,user_email,workbook_url_id,element_id
2026-11-18 09:00:00,ann.lee@x.org,wb1,
2026-11-19 09:00:00,Bob@x.org,wb1,
2026-11-19 09:00:00,cyd@x.org,wb1,
2026-11-19 09:00:00,bot@x.org,wb1,
2026-11-19 09:00:00,ann.lee@x.org
,dan@x.org,wb1,
""",
    "b.csv": """request_time,user_email,workbook_url_id,element_id
2026-11-19 09:00:00,bob@x.org,wb1,
2026-11-20 09:00:00,ann.lee@x.org,wb2,el1
2026-11-20 09:00:00,ann.lee@x.org,gone,
""",
    "c.csv": "2026-11-19 09:00:00,dan@x.org,wb1\n",
}
RESOURCES: list[dict[str, str | None]] = [
    {"workbook_url_id": "wb1", "element_id": None, "name": "Of cyd@x.org", "owner_email": "Ann.Lee@x.org"},
    {"workbook_url_id": "wb2", "element_id": None, "name": "Sales", "owner_email": "eve@x.org"},
    {"workbook_url_id": "wb2", "element_id": "el1", "name": "Revenue", "owner_email": None},
]


def store(
    root: Path,
    bucket: Bucket,
    rules: ReadingRules,
    described: list[dict[str, str | None]] = RESOURCES,
    tags: dict[str, str] | None = None,
) -> Tables:
    """The tables after a run over all files, with these resources, and tags by the ID of their version of wb1."""
    tables = Tables(root)
    resources = conform(typed(described), "here")
    aliases = pl.DataFrame([(alias, "wb1", tag) for alias, tag in (tags or {}).items()], schema=ALIASES, orient="row")
    if rules.pseudonyms is not None:
        resources, aliases = (pseudonymous_rows(rows, rules.pseudonyms) for rows in (resources, aliases))
    capture_snapshot(tables, resources, "here", datetime(2026, 11, 1, tzinfo=UTC), aliases=aliases)
    scanned(tables, bucket, rules=rules)
    refresh(tables)
    for table in (DAILY_IMPRESSIONS, USER_ACTIVITY):
        # As earlier versions did: with the smallest and the largest text of each column in the log.
        write_deltalake(tables.open(table), tables.read(table).collect(), mode="overwrite")
    return tables


def typed(described: list[dict[str, str | None]]) -> pl.DataFrame:
    """Resources as somebody may upload them."""
    kind = pl.when(pl.col("element_id").is_null()).then(pl.lit("sigma_workbook")).otherwise(pl.lit("sigma_element"))
    return pl.DataFrame(described, infer_schema_length=None).with_columns(resource_type=kind)


def refresh(tables: Tables) -> None:
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [DAY])
    publish_database(tables)


def published(tables: Tables) -> dict[str, Any]:
    """Everything that the published database shows, whenever it was published."""
    path = publish_database(tables).path
    with duckdb.connect(str(path), read_only=True) as connection:
        rejected = connection.execute("SELECT key, row_number, reason, text FROM rejected_rows ORDER BY ALL").fetchall()
        daily = connection.execute("FROM daily_impressions ORDER BY ALL").fetchall()
        owners = connection.execute("SELECT workbook_url_id, name, owner_email FROM sigma_resources").fetchall()
        insights = {name: connection.execute(f"FROM {name}").fetchall() for name in INSIGHT_TABLES}
    return {**cases.published(path), "rejected": rejected, "daily": daily, "owners": owners, **insights}


def holding(root: Path, texts: Iterable[str], leaving: Iterable[str] = ()) -> set[str]:
    """Where one of the texts stands, in any case: bytes of files, values of the tables, and checkpoints.

    What stands in a text of `leaving` does not count, nor do bytes of files that are packed: they hold parts of one.
    """
    needles = [text.lower().encode() for text in texts]
    files = {str(path.relative_to(root)): path.read_bytes().lower() for path in root.rglob("*") if path.is_file()}
    tables = Tables(root)
    contents = {table.name: json.dumps(tables.read(table).collect().to_dicts(), default=str) for table in ALL_TABLES}
    for path in root.rglob("*.checkpoint.parquet"):
        # All of a table, in whatever order they lie in its folder.
        of_table = f"{path.parts[-3]} checkpoint"
        contents[of_table] = contents.get(of_table, "") + json.dumps(pl.read_parquet(path).to_dicts(), default=str)
    for path in root.rglob("*.parquet"):
        # Data files too, also those that no table names any more.
        rows = pl.read_parquet(path, hive_partitioning=False).to_dicts()
        contents[f"rows of {path.relative_to(root)}"] = json.dumps(rows, default=str)
    if (root / "sigma_impressions.duckdb").exists():
        contents["published"] = json.dumps(published(tables), default=str)
    files |= {name: content.lower().encode() for name, content in contents.items()}
    if leaving:
        packed = {name for name in files if name.endswith((".parquet", ".duckdb")) and (root / name).exists()}
        files = {name: content for name, content in files.items() if name not in packed}
    for other in leaving:
        files = {name: content.replace(other.encode(), b"") for name, content in files.items()}
    return {name for name, content in files.items() if any(needle in content for needle in needles)}


@pytest.fixture
def bucket() -> Bucket:
    return filled()


def filled() -> Bucket:
    bucket = Bucket()
    for key, text in FILES.items():
        bucket.put(key, text.encode())
    return bucket


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables with addresses and those with pseudonyms, for the tests to copy."""
    folder = tmp_path_factory.mktemp("originals")
    with pytest.MonkeyPatch.context() as patched:
        # Checkpoints of the log hold statistics too.
        patched.setattr(tables_module, "_CHECKPOINT_INTERVAL", 1)
        store(folder / "addresses", filled(), EMAIL)
        store(folder / "pseudonyms", filled(), PSEUDONYM)
    return folder


@pytest.fixture
def tables(tmp_path: Path, originals: Path) -> Tables:
    return Tables(Path(shutil.copytree(originals / "addresses", tmp_path / "addresses")))


@pytest.fixture
def pseudonymous(tmp_path: Path, originals: Path) -> Tables:
    return Tables(Path(shutil.copytree(originals / "pseudonyms", tmp_path / "pseudonyms")))


def silent(_: str) -> None:
    pass


def test_what_is_captured_with_pseudonyms_holds_no_address(pseudonymous: Tables) -> None:
    assert holding(pseudonymous.root, (*USERS, "eve@x.org")) == set()
    refuse_stored_addresses(pseudonymous)


def test_stored_addresses_become_what_reading_again_would_give(
    bucket: Bucket, tables: Tables, pseudonymous: Tables
) -> None:
    numbers = published(tables)
    # Where the search looks, it finds.
    found_in = holding(tables.root, USERS)
    names = {"normalized_impressions", "rejected_rows", "daily_totals", "sigma_resources", "published"}
    assert names | {"resource_impressions", "user_activity"} <= found_in
    assert any("_delta_log" in name for name in found_in)
    assert "daily_impressions checkpoint" in found_in
    with pytest.raises(AddressesStored, match="sigma-impressions pseudonymize"):
        refuse_stored_addresses(tables)
    pseudonymize_stored(tables, PSEUDONYMS, silent)
    assert not (tables.root / "sigma_impressions.duckdb").exists()
    refuse_stored_addresses(tables)

    # Nothing is stale: what was counted stands.
    assert refresh_daily_impressions(tables, "largest").built == ()
    assert refresh_metrics(tables, [DAY]).built == ()
    found = published(tables)
    assert holding(tables.root, (*USERS, "eve@x.org")) == set()
    assert found == published(pseudonymous)
    fingerprints = [set(each.read(EXPORT_FILES).collect()["rules_fingerprint"]) for each in (tables, pseudonymous)]
    assert fingerprints[0] == fingerprints[1] == {PSEUDONYM.fingerprint()}
    for row, before in zip(found["resource_impressions"], numbers["resource_impressions"], strict=True):
        assert {name: value for name, value in row.items() if "impressions" in name and name != "used"} == {
            name: value for name, value in before.items() if "impressions" in name and name != "used"
        }
    # Files that come later are counted with those that were captured before.
    bucket.put("d.csv", FILES["b.csv"].encode() + b"2026-11-20 10:00:00,ann.lee@x.org,wb1,\n")
    for each in (tables, pseudonymous):
        scanned(each, bucket, rules=PSEUDONYM)
        refresh(each)
    assert published(tables) == published(pseudonymous)
    assert sum(row[3] for row in found["daily"]) + 1 == sum(row[3] for row in published(tables)["daily"])


FORMS = (
    *("ann.lee@x.org", "Ann.Lee@X.org", "ann.lee%40x.org", "ann.lee%2540x.org", "ann.lee＠x.org"),
    *("'ann.lee'@x.org", '"ann.lee"@x.org', "u=ann.lee@x.org&theme"),
)
OTHERS = ("joann.lee@x.org", "ann.lee@x.org.au", "ann.lee@x.organic")
"""Addresses of others, with that of Ann inside."""

MIXED_UP = (
    ("request_time", "user_email", "workbook_url_id", "element_id", "event_id", "event_type", "of ann.lee@x.org"),
    *(
        (f"2026-11-19 {hour:02}:00:00", *row)
        for hour, one in enumerate((*FORMS, *OTHERS), start=9)
        for row in (
            ("fay@x.org", one, "", "", "view", ""),
            ("fay@x.org", "wb1", one, "", f"of {one}", ""),
            ("fay@x.org", "wb2", "el1", one, "view", ""),
            ("fay@x.org", "wb2", "el1", one, "view", ""),
            (one, "wb2", "", "", "view", ""),
            (one, "wb2", "", "", "view", "", "too many"),
        )
    ),
)
DESCRIBED: list[dict[str, str | None]] = [
    *RESOURCES,
    *(
        {
            "workbook_url_id": one,
            "element_id": None,
            "name": f"Copy of {one}'s",
            "path": f"/My Documents/{one}/Sub",
            "url": f"https://x.org/w?:embed=true&u={one}",
            "owner_email": one,
        }
        for one in (*FORMS, *OTHERS)
    ),
]
TAGS = {"11111111-1111-4111-8111-111111111111": "for ann.lee%40x.org", "ann.lee@x.org-2": "Public"}


def mixed_up() -> Bucket:
    bucket = filled()
    text = io.StringIO()
    csv.writer(text).writerows(MIXED_UP)
    bucket.put("m.csv", text.getvalue().encode())
    bucket.put("n.csv", b"request_time,user_email,of ann.lee%40x.org\n")
    return bucket


def numbers(tables: Tables) -> list[Any]:
    """What the published database shows, without what names users or resources."""
    with duckdb.connect(str(publish_database(tables).path), read_only=True) as connection:
        return [
            sorted(connection.execute(f"SELECT COLUMNS(* EXCLUDE ({left})) FROM {table}").fetchall(), key=str)
            for table, left in {
                "daily_impressions": "workbook_url_id, element_id",
                "resource_impressions": f"{', '.join(RESOURCE_COLUMNS)}, used",
                "user_activity": "user_email",
                "unmatched_impressions": "workbook_url_id, element_id",
            }.items()
        ]


def test_no_form_of_an_address_stays_in_any_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "_CHECKPOINT_INTERVAL", 1)
    addresses = store(tmp_path / "addresses", mixed_up(), EMAIL, DESCRIBED, TAGS)
    pseudonymous = store(tmp_path / "pseudonyms", mixed_up(), PSEUDONYM, DESCRIBED, TAGS)
    before = numbers(addresses)
    found_in = holding(addresses.root, ("ann.lee",), OTHERS)
    names = {"normalized_impressions", "unmatched_impressions", "workbook_aliases", "daily_impressions checkpoint"}
    assert names | {"export_files", "resource_history", "resource_impressions", "published"} <= found_in
    everybody = ("ann.lee", *USERS, "eve@x.org", "fay@x.org")
    assert holding(pseudonymous.root, everybody) == set()
    assert numbers(pseudonymous) == before

    copied = Tables(Path(shutil.copytree(addresses.root, tmp_path / "copied")))
    pseudonymize_stored(copied, PSEUDONYMS, silent)
    assert published(copied) == published(pseudonymous)
    assert holding(copied.root, everybody) == set()
    assert sum(edited.changed_files for edited in pseudonymize_stored(copied, PSEUDONYMS, silent)) == 0

    for tables, rules in ((addresses, EMAIL), (pseudonymous, PSEUDONYM)):
        forget_stored(tables, "ANN.LEE%40x.org", rules.pseudonyms, silent)
        assert numbers(tables) == before
        assert refresh_daily_impressions(tables, "largest").built == ()
        assert holding(tables.root, (PSEUDONYMS.of_one("ann.lee@x.org"),)) == set()
    assert holding(addresses.root, ("ann.lee",), OTHERS) == set()
    assert holding(addresses.root, FORMS[2:]) == set()
    for other in OTHERS:
        assert names & holding(addresses.root, (other,)) >= {"normalized_impressions", "unmatched_impressions"}
        assert {"normalized_impressions", "published"} <= holding(pseudonymous.root, (PSEUDONYMS.of_one(other),))


def test_texts_that_hold_the_address_within_a_longer_word_are_told(tmp_path: Path) -> None:
    described: list[dict[str, str | None]] = [
        {"workbook_url_id": f"wb{number}", "element_id": None, "name": name, "owner_email": None}
        for number, name in enumerate(("Copy_of_ann@x.org", "joann@x.org", "Of ann@x.org"))
    ]
    tables = store(tmp_path, filled(), EMAIL, described)
    said: list[str] = []
    forget_stored(tables, "ann@x.org", None, said.append)
    (told,) = (line for line in said if "longer word" in line)
    assert "sigma_resources.name (2)" in told
    assert "ann@x.org" not in told
    assert set(tables.read(SIGMA_RESOURCES).collect()["name"]) == {"Copy_of_ann@x.org", "joann@x.org", "Of [address]"}


def interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_user_without_an_at_is_forgotten_if_one_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket()
    rows = ("annlee,wb1,", "annlees,wb1,", "e,annlee-2,", "e,wb1,annlee")
    text = "".join(f"2026-11-19 09:00:00,{row}\n" for row in rows)
    bucket.put("a.csv", f"request_time,user_email,workbook_url_id,element_id\n{text},annlee,wb1,\n".encode())
    described: list[dict[str, str | None]] = [
        {"workbook_url_id": "wb1", "element_id": None, "name": "Of Annlee, not annlees", "owner_email": None}
    ]
    tables = store(tmp_path, bucket, EMAIL, described)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for nobody in ("ann", "wb1", "@", "@x.org", "read"):
        with pytest.raises(UserUnknown, match="nothing was changed"):
            forget_stored(tables, nobody, None, silent)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    with monkeypatch.context() as patched:
        patched.setattr(stored_users, "_purge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            forget_stored(tables, "AnnLee", None, silent)
    forget_stored(tables, "AnnLee", None, silent)
    assert holding(tmp_path, ("annlee",), ("annlees", "annlee-2")) == set()
    assert "normalized_impressions" in holding(tmp_path, ("annlees",)) & holding(tmp_path, ("annlee-2",))
    (name,) = tables.read(SIGMA_RESOURCES).collect()["name"]
    assert name == "Of [address], not annlees"
    with pytest.raises(UserUnknown):
        forget_stored(tables, "annlee", None, silent)


def test_an_interrupted_change_is_begun_again(
    tables: Tables, pseudonymous: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit = stored_users._edit_table

    def edit_until_rejected(tables: Tables, table: Any, *rest: Any) -> Any:
        if table is REJECTED_ROWS:
            raise KeyboardInterrupt
        return edit(tables, table, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(stored_users, "_edit_table", edit_until_rejected)
        with pytest.raises(KeyboardInterrupt):
            pseudonymize_stored(tables, PSEUDONYMS, silent)
    with pytest.raises(AddressesStored):
        refuse_stored_addresses(tables)
    pseudonymize_stored(tables, PSEUDONYMS, silent)
    assert published(tables) == published(pseudonymous)
    assert sum(edited.changed_files for edited in pseudonymize_stored(tables, PSEUDONYMS, silent)) == 0


@pytest.mark.parametrize("rules", [EMAIL, PSEUDONYM], ids=["addresses", "pseudonyms"])
def test_a_user_is_forgotten_everywhere_and_every_number_stays(
    rules: ReadingRules, request: pytest.FixtureRequest
) -> None:
    tables: Tables = request.getfixturevalue("tables" if rules is EMAIL else "pseudonymous")
    ann = {"ann.lee@x.org", PSEUDONYMS.of_one("ann.lee@x.org")}
    before = published(tables)
    forget_stored(tables, " Ann.Lee@X.org ", rules.pseudonyms, silent)
    found = published(tables)
    assert holding(tables.root, tuple(ann)) == set()
    assert refresh_metrics(tables, [DAY]).built == ()

    (nobody,) = {row["user_email"] for row in found["user_activity"]} - {
        row["user_email"] for row in before["user_activity"]
    }
    assert nobody.startswith("forgotten_")

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: named(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [named(inner) for inner in value]
        return nobody if isinstance(value, str) and value.lower() in ann else value

    unordered = [sorted(each["user_activity"], key=lambda row: row["user_email"]) for each in (found, named(before))]
    assert unordered[0] == unordered[1]
    for row, old in zip(found["resource_impressions"], named(before["resource_impressions"]), strict=True):
        assert sorted(row.pop("used"), key=str) == sorted(old.pop("used"), key=str)
        assert row == old
    assert found["unmatched_impressions"] == before["unmatched_impressions"]
    assert found["daily"] == before["daily"]
    # Of the others, everything is as it was.
    if rules is EMAIL:
        texts = [text for *_, text in found["rejected"]]
        assert texts == ["0000-00-00 00:00:00,xxx.xxx@x.xxx", ",dan@x.org,wb1,"]
        assert "Of cyd@x.org" in {name for _, name, _ in found["owners"]}


def test_the_order_of_the_rows_tells_nothing(tables: Tables) -> None:
    found = pl.DataFrame([{"member_id": name, "email": name} for name in USERS], schema=MEMBERS)
    capture_members(tables, as_stored(found, None), "here", datetime(2026, 11, 1, tzinfo=UTC))

    def in_order(table: Table) -> bool:
        handle = tables.newest(table)
        files = [scan_files(handle, file).collect() for file in files_of(handle).iter_slices(1)]
        return all(rows["user_email"].drop_nulls().is_sorted() for rows in files)

    # Where the rows lie in the order of the addresses, whoever has a list of them could tell whose is which.
    by_user = (DAILY_TOTALS, USER_ACTIVITY, SIGMA_MEMBERS)
    assert all(map(in_order, by_user))
    forget_stored(tables, "cyd@x.org", None, silent)
    assert all(map(in_order, by_user))
    pseudonymize_stored(tables, PSEUDONYMS, silent)
    assert all(map(in_order, (*by_user, DAILY_IMPRESSIONS)))


def test_nobody_stays_nobody(tmp_path: Path) -> None:
    tables, at = Tables(tmp_path), datetime(2026, 11, 20, 9, tzinfo=UTC)
    resources = conform(pl.DataFrame({"resource_type": ["sigma_workbook"], "workbook_url_id": ["wb1"]}), "here")
    capture_snapshot(tables, resources, "here", datetime(2026, 11, 1, tzinfo=UTC))
    capture(tables, "embeds", [Row(at, None, "wb1", None, 5)])
    capture(tables, "others", [Row(at, "ann.lee@x.org", "wb1", None, 2), Row(at, None, "wb1", None, 3)])
    refresh(tables)
    (before,) = published(tables)["resource_impressions"]
    pseudonymize_stored(tables, PSEUDONYMS, silent)
    forget_stored(tables, "ann.lee@x.org", PSEUDONYMS, silent)
    assert tables.read(NORMALIZED_IMPRESSIONS).collect()["user_email"].null_count() == 2
    assert refresh_metrics(tables, [DAY]).built == ()
    (after,) = published(tables)["resource_impressions"]
    (user,) = after.pop("used")
    assert user["user_email"].startswith("forgotten_")
    assert after == {name: value for name, value in before.items() if name != "used"}
    assert (after["total_impressions_60d"], after["anonymous_impressions_60d"]) == (7, 5)


def test_a_machine_that_published_before_publishes_anew(tables: Tables) -> None:
    old = (tables.root / "sigma_impressions.duckdb").read_bytes()
    forget_stored(tables, "bob@x.org", None, silent)
    # Another machine's file, over the same tables.
    (tables.root / "sigma_impressions.duckdb").write_bytes(old)
    assert publish_database(tables).is_new
    assert holding(tables.root, ("bob@x.org",)) == set()


def test_files_without_such_a_user_are_left_alone(tables: Tables) -> None:
    before = published(tables)
    assert not any(edited.changed_files for edited in forget_stored(tables, "nobody@x.org", None, silent))
    assert published(tables) == before
    kept = set(files_of(tables.open(NORMALIZED_IMPRESSIONS))["path"])
    forget_stored(tables, "eve@x.org", None, silent)
    assert set(files_of(tables.open(NORMALIZED_IMPRESSIONS))["path"]) == kept
    assert holding(tables.root, ("eve@x.org",)) == set()
    assert tables.read(SIGMA_RESOURCES).collect()["owner_email"].str.starts_with("forgotten_").any()
