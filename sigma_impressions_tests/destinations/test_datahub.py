"""The export to DataHub: valid in DataHub's own words, nothing sent twice, and no secret in a message."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sigma_impressions.destinations.datahub import DataHub, export_usage
from sigma_impressions.errors import DataHubError
from sigma_impressions.lake.schemas import EXPORT_FILES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.upstream.contract import conform
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests.clouds.http_stub import Answer, HttpStub, Request, http_stub
from sigma_impressions_tests.metrics.captured import capture
from sigma_impressions_tests.metrics.reference import Row

try:
    from datahub.emitter.mcp import MetadataChangeProposalWrapper
    from datahub.ingestion.source.file import read_metadata_file
except ModuleNotFoundError:
    if os.environ.get("CI"):
        raise
    pytest.skip("acryl-datahub is not installed (the extra datahub)", allow_module_level=True)

pytestmark = pytest.mark.slow

AS_OF = date(2026, 11, 20)
SALES, OPS = "0e8d4c1a-52a1-4f0e-9b2e-6f3b5d6a7c81", "1f9e5d2b-63b2-4a1f-8c3f-7a4c6e7b8d92"
TOKEN = "the-token-of-datahub-0123456789"
GOLDEN = Path(__file__).with_name("datahub.json")
RESOURCES: list[dict[str, Any]] = [
    {"resource_type": "sigma_workbook", "workbook_url_id": "Sales", "workbook_id": SALES},
    {"resource_type": "sigma_element", "workbook_url_id": "Sales", "element_id": "chart"},
    {"resource_type": "sigma_workbook", "workbook_url_id": "Ops", "workbook_id": OPS},
    # A copy keeps the IDs of its elements.
    {"resource_type": "sigma_element", "workbook_url_id": "Ops", "element_id": "chart"},
    {"resource_type": "sigma_element", "workbook_url_id": "Ops", "element_id": "unseen"},
    {"resource_type": "sigma_workbook", "workbook_url_id": "Nameless"},
    {"resource_type": "sigma_workbook", "workbook_url_id": "Old", "workbook_id": "gone", "is_deleted": True},
]


def row(age: int, user: str, workbook: str, element: str | None = None, count: int = 1) -> Row:
    at = datetime(2026, 11, 20, 9, 30, tzinfo=UTC) - timedelta(days=age)
    return Row(at, f"{user}@example.com", workbook, element, count)


VIEWS = [
    row(0, "ann", "Sales", count=2),
    row(0, "ann", "Sales", "chart", 5),
    row(0, "bob", SALES.upper(), "chart", 4),
    row(0, "ann", "Ops", "chart", 8),
    row(1, "cy", "Sales", "unknown", 16),
    row(59, "=x()", "Sales", count=32),
    # In the total, not in a bucket.
    row(60, "dee", "Sales", count=64),
    row(0, "ann", "Old"),
    row(0, "ann", "Nameless"),
    row(0, "ann", "Never heard of"),
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables = Tables(tmp_path_factory.mktemp("stored") / "storage")
    resources = conform(pl.DataFrame(RESOURCES, infer_schema_length=None), "the test")
    capture_snapshot(tables, resources, "the test", datetime(2026, 11, 20, tzinfo=UTC))
    capture(tables, "views", VIEWS)
    return refreshed(tables).root


@pytest.fixture
def tables(stored: Path, tmp_path: Path) -> Tables:
    """A copy of what is stored."""
    return Tables(shutil.copytree(stored, tmp_path, dirs_exist_ok=True))


def refreshed(tables: Tables) -> Tables:
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])
    return tables


def export(tables: Tables, where: DataHub) -> list[str]:
    said: list[str] = []
    export_usage(tables, where, said.append)
    return said


def test_the_file_is_valid_and_as_expected(tables: Tables, tmp_path: Path) -> None:
    path = tmp_path / "exports" / "usage.json"
    said = export(tables, DataHub(str(path)))
    assert path.read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8")
    proposals = list(read_metadata_file(path))
    assert proposals and all(isinstance(proposal, MetadataChangeProposalWrapper) for proposal in proposals)
    assert all(proposal.validate() for proposal in proposals)
    assert said[1].startswith("1 workbooks have no workbook_id")
    # A file holds everything, whatever was exported before.
    export(tables, DataHub(str(path)))
    assert path.read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8")
    assert list(path.parent.iterdir()) == [path]


def test_views_of_nobody_are_sent_without_a_user(tables: Tables, tmp_path: Path) -> None:
    at = datetime(2026, 11, 20, 10, tzinfo=UTC)
    capture(tables, "embeds", [Row(at, None, "Sales", None, 100), Row(at, None, "Ops", "unseen", 1_000)])
    path = tmp_path / "usage.json"
    export(refreshed(tables), DataHub(str(path)))
    days = {
        proposal["entityUrn"]: proposal["aspect"]["json"]
        for proposal in json.loads(path.read_text(encoding="utf-8"))
        if "userCounts" in proposal["aspect"]["json"]
        and proposal["aspect"]["json"]["timestampMillis"] == datetime(2026, 11, 20, tzinfo=UTC).timestamp() * 1000
    }
    sales, unseen = days[f"urn:li:dashboard:(sigma,{SALES})"], days["urn:li:chart:(sigma,unseen)"]
    assert (sales["viewsCount"], sales["uniqueUserCount"], len(sales["userCounts"])) == (111, 2, 2)
    assert (unseen["viewsCount"], unseen["uniqueUserCount"], unseen["userCounts"]) == (1_000, 0, [])


def test_data_models_and_their_elements_are_left_out(tables: Tables, tmp_path: Path) -> None:
    model = {"resource_type": "sigma_data_model", "workbook_url_id": "Model", "workbook_id": "of-the-model"}
    # DataHub would take an element of the same ID for the chart of the workbooks.
    elements = [
        {"resource_type": "sigma_element", "workbook_url_id": "Model", "element_id": name}
        for name in ("chart", "of-it")
    ]
    resources = conform(pl.DataFrame([*RESOURCES, model, *elements], infer_schema_length=None), "the test")
    capture_snapshot(tables, resources, "the test", datetime(2026, 11, 20, 1, tzinfo=UTC))
    capture(
        tables, "models", [row(0, "ann", "Model"), row(0, "ann", "Model", "chart"), row(0, "ann", "Model", "of-it")]
    )
    path = tmp_path / "usage.json"
    export(refreshed(tables), DataHub(str(path)))
    assert path.read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8")


def test_a_page_has_the_views_of_its_elements(tables: Tables, tmp_path: Path) -> None:
    on_a_page = [
        {**one, "page_id": "page1", "page_name": "Overview"}
        if one.get("element_id") and one["workbook_url_id"] == "Ops"
        else one
        for one in RESOURCES
    ]
    resources = conform(pl.DataFrame(on_a_page, infer_schema_length=None), "the test")
    capture_snapshot(tables, resources, "the test", datetime(2026, 11, 20, 1, tzinfo=UTC))
    capture(tables, "more", [row(3, "bob", "Ops", "unseen", 2), row(3, "bob", "Ops", count=4)])
    path = tmp_path / "usage.json"
    export(refreshed(tables), DataHub(str(path)))
    page = "urn:li:dashboard:(sigma,page1)"
    found = [p["aspect"]["json"] for p in json.loads(path.read_text(encoding="utf-8")) if p["entityUrn"] == page]
    # The total, and a bucket of each day with views; the workbook's own views are on none of its pages.
    assert [(one["viewsCount"], one["uniqueUserCount"]) for one in found] == [(10, 2), (2, 1), (8, 1)]


def server(request: Request) -> Answer:
    """As much of DataHub's metadata service as the emitter talks to."""
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return Answer(401, b'{"message": "Unauthorized"}')
    if request.path == "/config":
        return Answer(200, json.dumps({"noCode": "true", "versions": {}}).encode())
    return Answer(200 if request.path == "/aspects?action=ingestProposalBatch" else 404, b"{}")


Figures = Mapping[tuple[str, str | None], tuple[int, int]]


def taken(stub: HttpStub) -> Figures:
    """Views and users by URN and day of what the stub was sent since the last time."""
    found = {}
    for request in stub.requests:
        for proposal in json.loads(request.body)["proposals"] if request.method == "POST" else ():
            aspect = json.loads(proposal["aspect"]["value"])
            moment = datetime.fromtimestamp(aspect["timestampMillis"] / 1000, UTC)
            day = f"{moment:%Y-%m-%d}" if "eventGranularity" in aspect else None
            found[proposal["entityUrn"], day] = (aspect["viewsCount"], aspect["uniqueUserCount"])
    stub.requests.clear()
    return found


def test_a_server_is_sent_what_has_changed(tables: Tables) -> None:
    sales, chart = f"urn:li:dashboard:(sigma,acme.{SALES})", "urn:li:chart:(sigma,acme.chart)"
    with http_stub(server) as stub:
        where = DataHub(stub.url, TOKEN, "acme")
        export(tables, where)
        first = taken(stub)
        assert first[sales, None] == (2 + 5 + 4 + 16 + 32 + 64, 5)
        assert first[sales, "2026-11-20"] == (11, 2)
        assert first[chart, "2026-11-20"] == (17, 2)
        assert len(first) == len(json.loads(GOLDEN.read_text(encoding="utf-8")))

        export(tables, where)
        assert taken(stub) == {}

        capture(tables, "late", [row(1, "dee", "Sales", "chart")])
        export(refreshed(tables), where)
        late = {
            (sales, None): (124, 5),
            (sales, "2026-11-19"): (17, 2),
            (chart, None): (18, 3),
            (chart, "2026-11-19"): (1, 1),
        }
        assert taken(stub) == late

        # What has no views any more is told so.
        tables.open(EXPORT_FILES).delete("file_id = 'late'")
        export(refreshed(tables), where)
        assert taken(stub) == {key: first.get(key, (0, 0)) for key in late}

        # Another platform instance has other URNs.
        export(tables, replace(where, platform_instance=None))
        assert len(taken(stub)) == len(first)


def test_what_a_server_refuses_is_sent_again_and_the_message_holds_no_secret(
    tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with http_stub(lambda request: Answer(403) if request.method == "POST" else server(request)) as stub:
        where = DataHub(stub.url, TOKEN)
        with pytest.raises(DataHubError, match=r"did not take the usage \(HTTP 403\) after 0") as failed:
            export(tables, where)
        assert TOKEN not in f"{failed.value!r} {where!r} {failed.getrepr(showlocals=False)}"
        assert "example.com" not in str(failed.value).replace("datahub.example.com", "")
        assert "@example.com" not in caplog.text and TOKEN not in caplog.text
        stub.answer = server
        stub.requests.clear()
        export(tables, where)
        assert len(taken(stub)) == len(json.loads(GOLDEN.read_text(encoding="utf-8")))
    with pytest.raises(DataHubError, match="Check SIGMA_IMPRESSIONS_DATAHUB"), http_stub(server) as stub:
        export(tables, DataHub(stub.url, "another-token"))


def test_a_redirect_takes_nothing_along(tables: Tables) -> None:
    with http_stub(server) as elsewhere:

        def redirected(request: Request) -> Answer:
            if request.method == "GET" and "/first" not in request.path:
                return server(request)
            return Answer(307, headers={"Location": f"{elsewhere.url}{request.path}"})

        with http_stub(redirected) as stub:
            for target in (stub.url, f"{stub.url}/first"):
                with pytest.raises(DataHubError, match=r"\(HTTP 307, a redirect, which is not followed: write the URL"):
                    export(tables, DataHub(target, TOKEN))
        assert elsewhere.requests == []


def test_the_telemetry_of_the_package_is_off_unless_asked_for(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    for given, used in ((None, "false"), ("true", "true")):
        with monkeypatch.context() as patched:
            patched.setenv("DATAHUB_TELEMETRY_ENABLED", "")
            patched.delenv("DATAHUB_TELEMETRY_ENABLED")
            if given:
                patched.setenv("DATAHUB_TELEMETRY_ENABLED", given)
            export(tables, DataHub(str(tables.root / "usage.json")))
            assert os.environ["DATAHUB_TELEMETRY_ENABLED"] == used


def test_what_is_no_datahub_is_told(tables: Tables) -> None:
    with (
        http_stub(lambda _request: Answer(200, b"{}")) as stub,
        pytest.raises(DataHubError, match="ConfigurationError"),
    ):
        export(tables, DataHub(stub.url))
