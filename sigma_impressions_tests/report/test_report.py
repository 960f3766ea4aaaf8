"""The report as a file: its rows are those of the database, names are inert, and it is written whole and only once."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from sigma_impressions.defs.report import build_report_assets
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.errors import ReportError
from sigma_impressions.exports.manifest import REMEDIES
from sigma_impressions.lake.storage import LocalStorage
from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions.report import render
from sigma_impressions.report.preview import preview
from sigma_impressions.report.read import read_headlines
from sigma_impressions.report.write import REPORT_NAME, copy_report, remove_report, write_report
from sigma_impressions_tests.commands import environment, sigma_impressions
from sigma_impressions_tests.report.published import AS_OF, BAD_URL, HOSTILE, publish
from sigma_impressions_tests.report.unpacked import Unpacked

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


def test_names_end_no_element_and_start_no_script(page: str) -> None:
    elements = Elements(page).found
    # The page's own: what is packed, and the program.
    scripts = [attributes.get("type") for tag, attributes in elements if tag == "script"]
    assert scripts == ["text/plain", "text/plain", None]
    assert {"img", "iframe", "object", "embed", "link", "base", "form"}.isdisjoint(tag for tag, _ in elements)
    for _, attributes in elements:
        assert not any(name.startswith("on") for name in attributes)
        assert "src" not in attributes
        assert "style" not in attributes
    # In the title and among the refused files there are hostile names, as text.
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page


def test_only_web_addresses_are_links(page: str) -> None:
    targets = [attributes["href"] for tag, attributes in Elements(page).found if tag == "a"]
    assert all(target and target.startswith(("#", "https://app.sigmacomputing.com/")) for target in targets)
    held = Unpacked.of_page(page)
    assert all(link.startswith("https://") for link in held.links)
    assert BAD_URL not in page + "".join(held.texts)
    # The name is that of elements too.
    assert held.texts_of("workbooks", "url")[held.texts_of("workbooks", "name").index(HOSTILE[1])] is None


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


def test_nothing_at_all_can_be_reported(tmp_path: Path) -> None:
    publish(tmp_path / DATABASE_NAME, 0, 0, 0)
    written = write_report(LocalStorage(tmp_path), "Usage")
    held = Unpacked.of_page(written.path.read_text(encoding="utf-8"))
    assert held.texts_of("workbooks", "name") == held.texts_of("people", "user") == list(held.facts()) == []
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
    assert re.search(r"`[▁▂▃▄▅▆▇█]{28}`$", text)
    # In the words of the page.
    page = (folder / REPORT_NAME).read_text(encoding="utf-8")
    labels = re.findall(r"^\| (\w[^|(]*)(?: \(([^)]*)\))? \|", text, re.MULTILINE)
    assert len(labels) == 9
    for label, note in labels:
        assert f"<dt>{label}</dt>" in page
        assert not note or f'<p class="note">{note}</p>' in page


def test_the_preview_tells_a_day_that_was_not_captured_from_one_without_views(tmp_path: Path) -> None:
    text = preview(read_headlines(publish(tmp_path / DATABASE_NAME, 20, 2, 40, not_captured=[50])))
    assert re.search(r"· was not captured:\n\n`[▁▂▃▄▅▆▇█]{19}·[▁▂▃▄▅▆▇█]{8}`$", text)


COMPLETE = "In the 14 complete days to 19 Nov 2026, {users} people viewed {workbooks} workbooks {now:,} times"


@pytest.mark.parametrize(
    ("not_captured", "complete", "said"),
    [
        ([], 59, f"{COMPLETE}, "),
        ([40], 59, f"{COMPLETE}."),
        ([50], 59, "In the 14 days to 20 Nov 2026, of which not all are captured completely, "),
        ([], None, "In the 14 days to 20 Nov 2026, of which not all are captured completely, "),
    ],
)
def test_the_first_sentence_is_of_complete_days(
    tmp_path: Path, not_captured: list[int], complete: int | None, said: str
) -> None:
    publish(tmp_path / DATABASE_NAME, 20, 2, 40, not_captured=not_captured, complete=complete)
    page = " ".join(write_report(LocalStorage(tmp_path), "Usage").path.read_text(encoding="utf-8").split())
    lead = re.sub("<[^>]+>", "", page[page.index('id="lead"') : page.index("<dl")]).removeprefix('id="lead">')
    ((now, before, users, workbooks),) = rows(
        tmp_path,
        "SELECT coalesce(sum(impressions) FILTER (event_date > c - 14), 0), "
        "coalesce(sum(impressions) FILTER (event_date <= c - 14), 0), "
        "count(DISTINCT user_email) FILTER (event_date > c - 14), "
        "count(DISTINCT workbook_url_id) FILTER (event_date > c - 14 AND workbook_url_id NOT IN "
        "(SELECT workbook_url_id FROM sigma_resources WHERE resource_type = 'sigma_data_model')) "
        "FROM daily_users, (SELECT max(event_date) AS c FROM usage_by_day WHERE is_complete) "
        "WHERE event_date BETWEEN c - 27 AND c",
    )
    assert lead.startswith(said.format(users=users, workbooks=workbooks, now=now))
    if said.endswith(", ") and complete and not not_captured:
        assert f"{abs(now / before - 1):.1%} {'more' if now > before else 'less'} than in the 14 days before." in lead
    assert ("It is not compared" in lead) == bool(not_captured or complete is None)


def test_data_quality_says_which_period_and_what_to_do(tmp_path: Path) -> None:
    database = publish(tmp_path / DATABASE_NAME, 20, 2, 40, not_captured=[50, 51])
    with duckdb.connect(str(database)) as connection:
        said = "gone" + " and gone" * 100
        connection.execute(
            "UPDATE export_files SET status = 'unreadable', reason = 'not found', detail = $said, rows = 0, "
            "accepted = 0, rejected = 0, skipped = 0 WHERE file_date = DATE '2026-11-10'",
            {"said": said},
        )
        connection.execute("UPDATE export_files SET status = 'missing', rows = 0 WHERE file_date = DATE '2026-11-09'")
    page = " ".join(write_report(LocalStorage(tmp_path), "Usage").path.read_text(encoding="utf-8").split())
    quality = re.sub("<[^>]+>", "", page[page.index('id="quality"') :])
    # 60 less the two days; one vanished, one cannot be read.
    assert "Export files captured56of the file dates 22 Sep 2026 to 20 Nov 2026" in quality
    assert "71 in all" in quality
    assert "3 refused, 1 could not be read, 1 vanished before they were read" in quality
    assert f"not found: {said}" in quality
    for status, remedy in REMEDIES.items():
        assert f"{'could not be read' if status == 'unreadable' else status} {remedy}" in quality
    ((impressions, unmatched, users),) = rows(
        tmp_path,
        "SELECT (SELECT sum(impressions) FROM daily_impressions), (SELECT sum(total_impressions_60d) "
        "FROM unmatched_impressions), (SELECT count(*) FROM user_activity)",
    )
    assert f"Impressions, 60 days{impressions:,}{unmatched:,} unmatched" in quality
    assert f"by {users:,} users, up to 20 Nov 2026" in quality
    assert "Days not captured, 60 days2of 60 days" in quality
    assert "The last complete day is 19 Nov 2026." in quality


def test_the_preview_tells_of_licences_where_members_are_known(folder: Path) -> None:
    headlines = read_headlines(folder / DATABASE_NAME)
    figure = headlines.summary["lapsed_users"]
    known = {"members": replace(figure, value=434), "never_seen_members": replace(figure, value=38)}
    text = preview(replace(headlines, summary={**headlines.summary, **known}))
    assert "| Members who may use Sigma | 434 |" in text
    assert "| Members never seen | 38 |" in text
