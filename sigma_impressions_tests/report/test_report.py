"""The report as a file: its rows are those of the database, names are inert, and it is written whole and only once."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest

from sigma_impressions.defs.report import build_report_assets
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.errors import ReportError
from sigma_impressions.lake.storage import LocalStorage
from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions.report import render
from sigma_impressions.report.preview import preview
from sigma_impressions.report.read import read_headlines, read_usage
from sigma_impressions.report.render import usual_week
from sigma_impressions.report.write import REPORT_NAME, copy_report, remove_report, write_report
from sigma_impressions_tests.commands import environment, sigma_impressions
from sigma_impressions_tests.report.published import AS_OF, BAD_URL, HOSTILE, publish

WORKBOOKS, ELEMENTS, USERS = 40, 4, 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published database with hostile names, and the report of it."""
    path = tmp_path_factory.mktemp("storage")
    publish(path / DATABASE_NAME, WORKBOOKS, ELEMENTS, USERS, hostile=True)
    assert write_report(LocalStorage(path), HOSTILE[0]).is_new
    return path


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / REPORT_NAME).read_text(encoding="utf-8")


def unpacked(page: str) -> dict[str, Any]:
    """The rows that the page holds, as the script of the page reads them."""
    found = re.search(r'<script type="text/plain" id="packed">([A-Za-z0-9+/=]+)</script>', page)
    assert found is not None
    data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return data


def column(data: dict[str, Any], table: str, name: str, pool: str = "texts") -> list[str | None]:
    return [None if place is None else data[pool][place] for place in data[table][name]]


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / DATABASE_NAME), read_only=True) as connection:
        return connection.execute(query).fetchall()


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_rows_are_those_of_the_database(folder: Path, page: str) -> None:
    data = unpacked(page)
    books = data["workbooks"]
    assert sorted(
        zip(
            column(data, "workbooks", "name"),
            books["impressions"],
            books["users"],
            books["recent"],
            column(data, "workbooks", "movement"),
            [sum(days or [0]) for days in books["days"]],
            books["elements"],
            strict=True,
        )
    ) == sorted(
        rows(
            folder,
            "SELECT name, total_impressions_60d, distinct_impressions_users_60d, complete_impressions_14d, movement, "
            f"total_impressions_60d, {ELEMENTS} FROM popular_resources WHERE resource_type = 'sigma_workbook'",
        )
    )
    # The elements follow the order of their workbooks.
    owners = [name for name in column(data, "workbooks", "name") for _ in range(ELEMENTS)]
    elements = zip(owners, column(data, "elements", "name"), data["elements"]["impressions"], strict=True)
    assert sorted(elements) == sorted(
        rows(
            folder,
            "SELECT workbook_name, name, total_impressions_60d FROM popular_resources "
            "WHERE resource_type = 'sigma_element'",
        )
    )
    underused = zip(
        column(data, "underused", "name"),
        column(data, "underused", "owner"),
        column(data, "underused", "reason"),
        data["underused"]["age"],
        data["underused"]["archived"],
        strict=True,
    )
    assert sorted(underused) == sorted(
        rows(folder, "SELECT name, owner_email, reason, age_days, is_archived::INTEGER FROM underused_resources")
    )
    users = zip(column(data, "users", "user"), column(data, "users", "tier"), data["users"]["impressions"], strict=True)
    assert sorted(users) == sorted(rows(folder, "SELECT user_email, tier, impressions_60d FROM active_users"))


def test_data_models_are_underused_content_and_no_workbooks(tmp_path: Path) -> None:
    database = publish(tmp_path / DATABASE_NAME, 8, 1, 5)
    usage = read_usage(database)
    with duckdb.connect(str(database)) as connection:
        for table in ("popular_resources", "underused_resources"):
            kind = "CASE WHEN element_id IS NULL THEN 'sigma_data_model' ELSE resource_type END AS resource_type"
            model = f"{kind}, 'model of ' || workbook_url_id AS workbook_url_id"
            connection.execute(f"INSERT INTO {table} SELECT * REPLACE ({model}) FROM {table}")
    with_models = read_usage(database)
    for name in ("workbooks", "elements"):
        columns = ("workbook_url_id", "element_id", "total_impressions_60d")
        shown, before = (getattr(each, name).select(columns).rows() for each in (with_models, usage))
        assert sorted(shown, key=str) == sorted(before, key=str)
    assert "sigma_data_model" in set(with_models.underused["resource_type"])


def test_names_end_no_element_and_start_no_script(page: str) -> None:
    elements = Elements(page).found
    # The page's own two: what is packed, and the program.
    assert [attributes.get("type") for tag, attributes in elements if tag == "script"] == ["text/plain", None]
    assert {"img", "iframe", "object", "embed", "link", "base", "form"}.isdisjoint(tag for tag, _ in elements)
    for _, attributes in elements:
        assert not any(name.startswith("on") for name in attributes)
        assert "src" not in attributes
        assert "style" not in attributes
    # Among the risers and the refused files there are hostile names, as text.
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page


def test_only_web_addresses_are_links(page: str) -> None:
    targets = [attributes["href"] for tag, attributes in Elements(page).found if tag == "a"]
    assert all(target and target.startswith(("#", "https://app.sigmacomputing.com/")) for target in targets)
    data = unpacked(page)
    assert all(link.startswith("https://") for link in data["links"])
    assert BAD_URL not in page + json.dumps(data)
    assert column(data, "workbooks", "url", "links")[column(data, "workbooks", "name").index(HOSTILE[1])] is None


def test_the_page_may_reach_nothing(page: str) -> None:
    (policy,) = (
        attributes["content"]
        for tag, attributes in Elements(page).found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_it_is_written_again_only_if_the_database_changed(tmp_path: Path) -> None:
    publish(tmp_path / DATABASE_NAME, 3, 1, 2)
    assert write_report(LocalStorage(tmp_path), "Usage").is_new
    before = (tmp_path / REPORT_NAME).stat()
    assert not write_report(LocalStorage(tmp_path), "Usage").is_new
    after = (tmp_path / REPORT_NAME).stat()
    # Not the time of the last access: the file is read to see what it was made from.
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert write_report(LocalStorage(tmp_path), "Another name").is_new
    with duckdb.connect(str(tmp_path / DATABASE_NAME)) as connection:
        connection.execute("UPDATE publication SET made_from = 'something else'")
    assert write_report(LocalStorage(tmp_path), "Another name").is_new
    assert "something else" in (tmp_path / REPORT_NAME).read_text(encoding="utf-8")


def test_a_report_that_fails_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / DATABASE_NAME, 3, 1, 2)
    write_report(LocalStorage(tmp_path), "Usage")
    before = (tmp_path / REPORT_NAME).read_bytes()
    # A text that cannot be encoded fails in the middle of writing.
    monkeypatch.setattr(render, "render", lambda *_: "complete\ud800")
    with pytest.raises(UnicodeEncodeError):
        write_report(LocalStorage(tmp_path), "Another name")
    assert (tmp_path / REPORT_NAME).read_bytes() == before
    assert not list(tmp_path.glob(".*.partial"))


def test_without_a_database_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"There is no .* yet\. sigma-impressions run publishes it"):
        write_report(LocalStorage(tmp_path / "data"), "Usage")
    publish(tmp_path / DATABASE_NAME, 3, 1, 2)
    with duckdb.connect(str(tmp_path / DATABASE_NAME)) as connection:
        connection.execute("DROP TABLE usage_summary")
    with pytest.raises(ReportError, match="published by another version"):
        write_report(LocalStorage(tmp_path), "Usage")


def test_a_usual_week_begins_with_the_first_export() -> None:
    dates = [date(2026, 11, 2) + timedelta(days=n) for n in range(19)]
    views = [0, 0, 0, 30, 40, 0, 0, *([10, 20, 30, 40, 50, 0, 0] * 2)][:19]
    days = pl.DataFrame({"event_date": dates, "impressions": views, "active_users": [1] * 19}).with_columns(
        weekday=pl.col("event_date").dt.weekday()
    )
    week = {row["weekday"]: row["impressions"] for row in usual_week(days)}
    assert week == {1: 10, 2: 20, 3: 30, 4: (30 + 40 + 40) / 3, 5: (40 + 50 + 50) / 3, 6: 0, 7: 0}
    assert usual_week(days.head(3)) == []


def test_nothing_at_all_can_be_reported(tmp_path: Path) -> None:
    publish(tmp_path / DATABASE_NAME, 0, 0, 0)
    written = write_report(LocalStorage(tmp_path), "Usage")
    data = unpacked(written.path.read_text(encoding="utf-8"))
    assert data["workbooks"]["name"] == data["users"]["user"] == []
    assert "complete days up to 2026-11-19, at most 0 a day; " in preview(read_headlines(tmp_path / DATABASE_NAME))


def test_copies_and_removal(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "mail.html"
    copy_report(folder / REPORT_NAME, target)
    assert target.read_bytes() == (folder / REPORT_NAME).read_bytes()
    with pytest.raises(FileNotFoundError):
        copy_report(folder / REPORT_NAME, tmp_path / "none" / "mail.html")
    publish(tmp_path / DATABASE_NAME, 3, 1, 2)
    write_report(LocalStorage(tmp_path), "Usage")
    (tmp_path / f".{REPORT_NAME}.{'0' * 32}.partial").write_text("of a process that was killed")
    remove_report(LocalStorage(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {".work", DATABASE_NAME, f".{REPORT_NAME}.lock", "mail.html"}


def materialized(folder: Path) -> dict[str, Any]:
    """The metadata of the asset, over the published database of a storage location."""
    source = SigmaSource(bucket_uri="s3://bucket/x", storage=str(folder))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(build_report_assets(), instance=instance, resources={"source": source})
    (event,) = result.asset_materializations_for_node("usage_report")
    return {name: value.value for name, value in event.metadata.items()}


def test_the_asset_leads_to_the_report(tmp_path: Path) -> None:
    publish(tmp_path / DATABASE_NAME, 3, 1, 2)
    metadata = materialized(tmp_path)
    assert (metadata["report"], metadata["as_of"], metadata["is_new"]) == (str(tmp_path / REPORT_NAME), AS_OF, True)
    assert metadata["preview"] == preview(read_headlines(tmp_path / DATABASE_NAME))
    assert metadata["bytes"] == (tmp_path / REPORT_NAME).stat().st_size
    assert materialized(tmp_path)["is_new"] is False


@pytest.mark.slow
def test_the_command_writes_copies_and_opens_it(tmp_path: Path) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o755)
    env = environment(
        tmp_path,
        {
            "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/x",
            "SIGMA_IMPRESSIONS_RESOURCES": "resources.csv",
            "BROWSER": str(browser),
        },
    )
    ended = sigma_impressions("report", env=env)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "There is no" in ended.stderr
    (tmp_path / "data").mkdir(exist_ok=True)
    publish(tmp_path / "data" / DATABASE_NAME, 3, 1, 2)
    target = tmp_path / "mail #1.html"
    ended = sigma_impressions("report", "--to", str(target), "--open", env=env)
    assert (ended.returncode, ended.stdout) == (0, f"{target}: usage as of {AS_OF}\n"), ended.stderr
    assert target.read_bytes() == (tmp_path / "data" / REPORT_NAME).read_bytes()
    assert opened.read_text() == target.as_uri()
    ended = sigma_impressions("report", "--to", str(tmp_path / "none" / "report.html"), env=env)
    assert ended.returncode == 1
    assert "cannot be written: No such file or directory" in ended.stderr


def test_the_preview_shows_the_headline_figures(folder: Path) -> None:
    text = preview(read_headlines(folder / DATABASE_NAME))
    columns = "value, complete_value, previous_complete_value"
    ((now, complete, before),) = rows(folder, f"SELECT {columns} FROM usage_summary WHERE metric = 'impressions_14d'")
    last = date.fromisoformat(AS_OF) - timedelta(days=1)
    assert f"As of {AS_OF}. What is compared are complete days: those up to {last}, with as many before." in text
    assert f"| | up to {AS_OF} | up to {last} | before |" in text
    compared = f"{complete:,.0f} | {before:,.0f} ({complete / before - 1:+.1%})"
    assert f"| Impressions, 14 days | {now:,.0f} | {compared} |" in text
    # One of the days was not captured.
    assert re.search(r"· was not captured:\n\n`[▁▂▃▄▅▆▇█]{19}·[▁▂▃▄▅▆▇█]{8}`$", text)
    # In the words of the page.
    page = (folder / REPORT_NAME).read_text(encoding="utf-8")
    labels = re.findall(r"^\| (\w[^|(]*)(?: \(([^)]*)\))? \|", text, re.MULTILINE)
    assert len(labels) == 7
    for label, note in labels:
        assert f"<dt>{label}</dt>" in page
        assert not note or f'<p class="note">{note}</p>' in page


def test_the_preview_tells_of_licences_where_members_are_known(folder: Path) -> None:
    headlines = read_headlines(folder / DATABASE_NAME)
    figure = headlines.summary["lapsed_users"]
    known = {"members": replace(figure, value=434), "never_seen_members": replace(figure, value=38)}
    text = preview(replace(headlines, summary={**headlines.summary, **known}))
    assert "| Members who may use Sigma | 434 |" in text
    assert "| Members never seen | 38 |" in text
