"""The status as a screen and as JSON: what fits, what is cut, and that texts from outside are only read."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from rich.console import Console

from sigma_impressions.check.disk import Disk
from sigma_impressions.status.facts import (
    Captured,
    Colour,
    Finding,
    Published,
    Recorded,
    Run,
    Sizes,
    Starter,
    Status,
)
from sigma_impressions.status.shown import as_lines, as_values
from sigma_impressions.terminal import say

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 26, 7, 0, tzinfo=UTC)
RUN = Run("0" * 36, "succeeded", NOW, NOW, "cli run", date(2026, 11, 24), date(2026, 11, 26))
GOOD = Status(
    "Sigma Impressions",
    "s3://acme-audit/sigma/",
    "data",
    "/srv/dagster_home",
    NOW,
    Captured(71, 1, 0, 0, 0, date(2026, 11, 26), NOW, NOW),
    Published(NOW, date(2026, 11, 26), 92_446, 1_060, 417, 316),
    Recorded(RUN, NOW, (), None, False, ()),
    Sizes(
        {"export_files": 12_000_000},
        {"database": 5_000_000},
        (Disk(("the storage", "DAGSTER_HOME"), 43 * 10**9, 10**6),),
    ),
    (),
)
LONG = "One of the files was refused, for example sigma/2026-11-25.csv, and there is much to say of it. " * 5


def findings(count: int, said: str = LONG) -> tuple[Finding, ...]:
    return tuple(Finding(Colour.YELLOW, f"check_{number}", said, since=NOW) for number in range(count))


def shown(status: Status, columns: int = 80, most: int | None = 23) -> list[str]:
    """The lines as a terminal gets them."""
    console = Console(file=io.StringIO(), width=columns)
    for line in as_lines(status, columns, most):
        say(console, line.text, line.style, mark=line.mark)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_all_is_well() -> None:
    assert shown(GOOD) == [
        "Sigma Impressions: s3://acme-audit/sigma/",
        "ok     nothing is red or yellow, 2026-11-26 07:00 UTC",
        "",
        "Captured   71 files, 1 refused; newest of 2026-11-26, at 2026-11-26 07:00 UTC",
        "Published  as of 2026-11-26, at 2026-11-26 07:00 UTC; 92,446 impressions of 60",
        "           days by 417 users",
        "Last run   2026-11-26 07:00 UTC (cli run, 2026-11-24 to 2026-11-26): succeeded",
        "Next       sensor and schedule are switched off: cron or by hand",
        "Storage    tables 12 MB, database 5 MB; free 43.0 GB",
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 30])
@pytest.mark.parametrize("said", [LONG, "Short."])
def test_any_number_of_findings_fits_on_a_screen(count: int, said: str) -> None:
    lines = shown(replace(GOOD, findings=findings(count, said)))
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith(f"YELLOW {count} yellow, ")
    named = sum("check_" in line for line in lines)
    assert named == count or f"and {count - named} more: sigma-impressions status --json" in lines
    assert named >= min(count, 4)
    whole = "\n".join(shown(replace(GOOD, findings=findings(count, said)), most=None))
    assert whole.count("check_") == count
    assert "…" not in whole


@pytest.mark.parametrize("columns", [1, 20, 40, 200])
def test_a_terminal_of_any_width_will_do(columns: int) -> None:
    assert "YELLOW 2 yellow, " in "\n".join(shown(replace(GOOD, findings=findings(2)), columns))


def test_the_gravest_colour_is_that_of_all() -> None:
    red = Finding(Colour.RED, "disk", "Full.")
    assert replace(GOOD, findings=findings(1)).colour == Colour.YELLOW
    assert replace(GOOD, findings=(*findings(1), red)).colour == Colour.RED
    assert GOOD.colour == Colour.GREEN


@pytest.mark.parametrize(
    ("is_on", "daemon_runs", "said"),
    [
        (False, True, "sensor and schedule are switched off: cron or by hand"),
        (True, False, "no daemon runs: sensor and schedule start nothing"),
        (True, True, "daily_scan at 2026-11-26 07:00 UTC"),
    ],
)
def test_what_starts_next(is_on: bool, daemon_runs: bool, said: str) -> None:
    starters = (
        Starter("daily_scan", is_on, True, None, NOW if is_on else None),
        Starter("alerts", True, False, None, NOW),
    )
    assert GOOD.recorded is not None
    recorded = replace(GOOD.recorded, daemon_runs=daemon_runs, starters=starters)
    assert f"Next       {said}" in shown(replace(GOOD, recorded=recorded))


def test_disks_are_told_apart() -> None:
    disks = (Disk(("the storage",), 43 * 10**9, 10**6), Disk(("temporary files", "DAGSTER_HOME"), 10**7, 2 * 10**7))
    lines = shown(replace(GOOD, sizes=Sizes({}, {}, disks)))
    assert "free 43.0 GB for the storage, 10 MB for temporary files" in "\n".join(lines)
    assert str(disks[1]) == "10 MB free for temporary files and DAGSTER_HOME; a run should have 20 MB at least"


def test_texts_from_outside_are_only_read() -> None:
    hostile = "\x1b]0;owned\x07[bold]x[/bold]\nYELLOW forged"
    status = replace(GOOD, name=hostile, source=hostile, findings=findings(1, hostile))
    lines = shown(status)
    assert not any("\x1b" in line or line.startswith("YELLOW forged") for line in lines)
    assert sum("[bold]x[/bold]" in line for line in lines) == 2
    assert json.loads(json.dumps(as_values(status)))["name"] == hostile


def test_json_holds_all_that_is_known() -> None:
    status = replace(GOOD, findings=findings(9))
    found = json.loads(json.dumps(as_values(status)))
    assert found["status"] == "yellow"
    assert found["captured"]["newest_file_date"] == "2026-11-26"
    assert found["published"]["unmatched_60d"] == 1_060
    assert found["recorded"]["last_run"]["first_day"] == "2026-11-24"
    assert found["sizes"]["tables"] == {"export_files": 12_000_000}
    assert [finding["said"] for finding in found["findings"]] == [LONG] * 9
    assert found["findings"][0]["since"] == "2026-11-26T07:00:00+00:00"


def test_the_documentation_names_every_field() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("## Every morning")[2].partition("\n## ")[0]
    starter = Starter("daily_scan", True, True, None, NOW)
    assert GOOD.recorded is not None
    recorded = replace(GOOD.recorded, starters=(starter,), under_way=(RUN,))
    found = json.loads(json.dumps(as_values(replace(GOOD, findings=findings(1), recorded=recorded))))
    names = {*found, *found["captured"], *found["published"], *found["recorded"], *found["sizes"]}
    names |= {
        *found["sizes"]["disks"][0],
        *found["recorded"]["last_run"],
        *found["recorded"]["starters"][0],
        *found["findings"][0],
    }
    assert {name for name in names if f"`{name}`" not in section} == set()
