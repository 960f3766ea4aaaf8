"""What Dagster's event log keeps of tables: nobody in full, because it stays when a user is forgotten."""

from __future__ import annotations

import dagster as dg
import polars as pl
import pytest

from sigma_impressions.defs.metadata import preview, table_of
from sigma_impressions.defs.resource_checks import elements_are_read
from sigma_impressions.upstream.discovery import Unread

FORMS = ("ann@x.org", "ann%40x.org", "ann＠x.org", '"ann lee"@x.org', "'ann'@x.org")


@pytest.mark.parametrize("form", FORMS)
def test_no_table_of_a_record_shows_an_address(form: str) -> None:
    row = {
        "key": "exports/ann@x.org.csv",
        "user_email": form,
        "name": f"Copy of {form}'s",
        "path": f"/My Documents/{form}",
        "workbook_url_id": form,
        "event_type": f"viewed by {form}",
        "what": [form],
        "rows": 3,
    }
    for shown in (preview(pl.DataFrame([row])), table_of([row], list(row))):
        (record,) = shown.value.records
        values = dict(record.data)
        assert values.pop("key") == "exports/ann@x.org.csv"
        assert values.pop("rows") == 3
        assert "ann" not in str(values)
        assert values["path"] == "/My Documents/[address]"


@pytest.mark.parametrize("user", ["annleesurname", "ann.lee@\nx.org", "e", "Ann Lee", "ann.lee@x.org"])
def test_users_in_a_preview_are_shortened_whatever_they_look_like(user: str) -> None:
    (record,) = preview(pl.DataFrame({"user_email": [user]})).value.records
    assert "…" in record.data["user_email"]
    assert user not in record.data["user_email"]
    assert "nn" not in record.data["user_email"]


def test_an_answer_of_sigma_is_shown_without_addresses() -> None:
    unread = [Unread("wb1", "No elements of the workbook of ann@x.org.")]
    result = elements_are_read(dg.AssetKey("resources"), unread)
    assert r"of \[address\]" in str(result.description)
    assert "ann@" not in str(result)
