"""The report of more pairs of people and workbooks than are published: people are exact, and the rest is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Page, expect

from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions_tests.browser.conftest import Seen, report_of

pytestmark = pytest.mark.slow

PERIOD = 60


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(tmp_path_factory.mktemp("cut"), 60, 6, 90, most_pairs=150)


def rows(report: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(report.with_name(DATABASE_NAME)), read_only=True) as connection:
        return connection.execute(query).fetchall()


def card(page: Page, metric: str) -> int:
    return int(float(page.locator(f'[data-metric="{metric}"] .value').get_attribute("data-value") or "nan"))


@pytest.mark.parametrize("team", [None, "Finance"])
def test_people_are_exact_whatever_was_cut(seen: Seen, report: Path, team: str | None) -> None:
    page = seen.open(report)
    page.goto(f"{report.as_uri()}#overview&period={PERIOD}{f'&team={team}' if team else ''}")
    expect(page.locator("html[data-ready]")).to_have_count(1)
    page.wait_for_timeout(100)
    of_team = f"WHERE user_email IN (SELECT user_email FROM active_users WHERE list_contains(teams, '{team}'))"
    ((users,),) = rows(report, f"SELECT count(*) FROM user_activity {of_team if team else ''}")
    views = "user_activity" if team else "daily_impressions"
    counted = "total_impressions_60d" if team else "impressions"
    ((impressions,),) = rows(report, f"SELECT sum({counted}) FROM {views} {of_team if team else ''}")
    assert (card(page, "period_users"), card(page, "period_impressions")) == (users, impressions)
    expect(page.locator("#lead-note")).to_contain_text("the 150 most frequent pairs of person and workbook of 900")
