"""What the checks of several runs say in the end: each finding once, and none that is not true any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from sigma_impressions.findings import Days, Evaluation, findings

FIRST = date(2026, 9, 17)


def chunk(number: int) -> Days:
    """Six days, as a run of a backfill has them."""
    first = FIRST + timedelta(days=6 * number)
    return first, first + timedelta(days=5)


def said(check: str, number: int, text: str | None, *, of_days: bool = False) -> Evaluation:
    return Evaluation("asset", check, "WARN", text is None, text or "did not pass", chunk(number), of_days)


def test_what_a_later_run_made_untrue_is_not_said() -> None:
    old = "The newest export file is of 2026-09-22"
    assert findings([said("is_fresh", 0, old), said("is_fresh", 1, old), said("is_fresh", 2, None)]) == []


def test_what_is_true_of_all_days_is_said_once_as_it_is_at_the_end() -> None:
    found = findings([said("is_matched", number, f"{number} of 10 impressions") for number in range(3)])
    assert list(map(str, found)) == ["asset, is_matched: 2 of 10 impressions"]
    assert found[0].as_json()["days"] == []


def test_what_is_true_of_the_days_of_a_run_stays_true_after_another() -> None:
    rejected = [said("rows_are_good", number, text, of_days=True) for number, text in enumerate(["a", "b", None, "d"])]
    rejected.append(said("rows_are_good", 4, None, of_days=True))
    (found,) = findings(rejected)
    assert str(found) == ("asset, rows_are_good of 2026-10-05 to 2026-10-10: d. Also of 2026-09-17 to 2026-09-28.")
    assert found.as_json()["days"] == [["2026-09-17", "2026-09-28"], ["2026-10-05", "2026-10-10"]]
    assert found.as_json()["text"] == "d"


def test_what_is_red_of_some_days_is_not_hidden_by_yellow_of_later_ones() -> None:
    red = replace(said("rows_are_good", 1, "90 % of the rows.", of_days=True), severity="ERROR")
    yellow = [said("rows_are_good", number, "1 % of the rows.", of_days=True) for number in (0, 2)]
    (found,) = findings([yellow[0], red, yellow[1]])
    assert found.said.severity == "ERROR"
    assert str(found) == (
        "asset, rows_are_good of 2026-09-23 to 2026-09-28: 90 % of the rows. "
        "Also of 2026-09-17 to 2026-09-22, 2026-09-29 to 2026-10-04."
    )
    assert found.as_json()["days"] == [["2026-09-17", "2026-10-04"]]


def test_checks_do_not_answer_for_each_other() -> None:
    found = findings([said("is_fresh", 0, "old"), said("is_uniform", 1, None), said("rows", 1, "bad", of_days=True)])
    assert [finding.said.check for finding in found] == ["is_fresh", "rows"]
