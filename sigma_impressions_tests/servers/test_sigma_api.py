"""Whole runs whose resources come from a Sigma REST API: what a view counts for, and what a broken Sigma leaves."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rich.console import Console

from sigma_impressions.check.source import check_source
from sigma_impressions.check.step import Step
from sigma_impressions.console import Progress
from sigma_impressions.demo.fake_sigma import FakeSigma, Organization
from sigma_impressions.scan import ScanOptions, scan_all
from sigma_impressions.settings.read import environment_values
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.servers.processes import sigma_impressions
from sigma_impressions_tests.upstream.organizations import large_organization, remove, tag

TODAY = datetime.now(UTC).date()
NOW = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def organization() -> Organization:
    return large_organization(3, 12)


def add_data_model(sigma: Organization, element_id: str) -> dict[str, Any]:
    """A data model with one element."""
    model = {"dataModelId": "9d0f2c5e-6f0b-4f4e-8d43-0a1b2c3d4e5f", "dataModelUrlId": "model", "name": "Orders"}
    sigma.data_models.append(model)
    sigma.elements[model["dataModelId"]] = [{"elementId": element_id, "name": "Orders by day"}]
    return model


class Deployment:
    """One source: a bucket, a Sigma organization, a storage and an instance in `folder`."""

    def __init__(self, folder: Path, bucket: Any, sigma: FakeSigma, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sigma = sigma
        self.env = environment(
            folder,
            {**bucket.environment(), **sigma.environment(), "SIGMA_IMPRESSIONS_BUCKET_URI": f"{bucket.uri}exports"},
        )
        self._folder = folder
        self._bucket = bucket
        self._monkeypatch = monkeypatch

    def export(self, *views: tuple[str, str, str, int]) -> None:
        """Put an export file with views: user, workbook, element and count."""
        rows = [f"{NOW},{user}@example.com,{workbook},{element},{count}" for user, workbook, element, count in views]
        header = "request_time,user_email,workbook_url_id,element_id,count"
        self._bucket.put("exports/today.csv", "\n".join([header, *rows]).encode())

    def scan(self) -> str | None:
        with self._monkeypatch.context() as patched:
            for name, value in self.env.items():
                patched.setenv(name, value)
            home = self._folder / "dagster_home"
            return scan_all(Progress(Console(file=io.StringIO())), home, [[TODAY]], ScanOptions(), "test").failure

    def check(self) -> list[Step]:
        with self._monkeypatch.context() as patched:
            for name, value in self.env.items():
                patched.setenv(name, value)
            return list(check_source(environment_values(self.env)))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self._folder / "data" / "sigma_impressions.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def deployment(s3_bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    with FakeSigma(organization()) as sigma:
        yield Deployment(tmp_path, s3_bucket, sigma, monkeypatch)


OF_RESOURCES = """
    SELECT workbook_url_id, element_id, is_deleted, total_impressions_60d, distinct_impressions_users_60d
    FROM resource_impressions WHERE total_impressions_60d > 0 ORDER BY ALL NULLS FIRST
"""


def test_views_of_tagged_versions_data_models_and_equal_element_ids_count_where_they_belong(
    deployment: Deployment,
) -> None:
    sigma = deployment.sigma.organization
    first, second = sigma.workbooks[0], sigma.workbooks[1]
    w1, w2 = first["workbookUrlId"], second["workbookUrlId"]
    same = sigma.elements[first["workbookId"]][0]["elementId"]
    sigma.elements[second["workbookId"]][0]["elementId"] = same
    version = tag(sigma, w1, "Production", listed=True)
    unlisted = tag(sigma, w1, "Test", listed=False)
    model = add_data_model(sigma, same)
    deployment.export(
        ("ann", w1, "", 1),
        ("ann", version["workbookUrlId"], "", 2),
        ("bob", version["workbookId"].upper(), "", 4),
        ("bob", unlisted["workbookUrlId"], same, 8),
        ("cy", w1, same, 16),
        ("cy", w2, same, 32),
        ("di", model["dataModelUrlId"], "", 64),
        ("di", model["dataModelId"].upper(), same, 128),
    )
    assert deployment.scan() is None
    assert deployment.query(OF_RESOURCES) == sorted(
        [
            *((w1, None, False, 7, 2), (w1, same, False, 24, 2), (w2, same, False, 32, 1)),
            *(("model", None, False, 64, 1), ("model", same, False, 128, 1)),
        ],
        key=lambda row: (row[0], row[3]),
    )
    assert deployment.query("SELECT * FROM unmatched_impressions") == []
    counted = dict(deployment.query("SELECT workbook_url_id, sum(impressions) FROM daily_impressions GROUP BY ALL"))
    assert counted == {w1: 31, w2: 32, "model": 192}


def test_a_deleted_workbook_keeps_its_metrics_and_an_empty_answer_is_refused(deployment: Deployment) -> None:
    sigma = deployment.sigma.organization
    workbook = sigma.workbooks[0]
    url_id, element_id = workbook["workbookUrlId"], sigma.elements[workbook["workbookId"]][0]["elementId"]
    deployment.export(("ann", url_id, "", 3), ("bob", url_id, element_id, 5))
    assert deployment.scan() is None
    before = deployment.query(OF_RESOURCES)
    assert before == [(url_id, None, False, 3, 1), (url_id, element_id, False, 5, 1)]

    remove(sigma, url_id)
    assert deployment.scan() is None
    deleted = [(url_id, None, True, 3, 1), (url_id, element_id, True, 5, 1)]
    assert deployment.query(OF_RESOURCES) == deleted
    assert deployment.query("SELECT * FROM unmatched_impressions") == []
    vanished = "SELECT DISTINCT workbook_url_id FROM resource_history WHERE vanished_at IS NOT NULL"
    assert deployment.query(vanished) == [(url_id,)]

    published = deployment.query("SELECT made_from FROM publication")
    sigma.workbooks.clear()
    failure = deployment.scan()
    assert failure is not None
    assert "holds no resources, and the snapshot before held 2 workbooks. The last snapshot stays in use" in failure
    assert deployment.query("SELECT made_from FROM publication") == published
    assert deployment.query(OF_RESOURCES) == deleted


def test_the_usage_follows_to_datahub_if_it_is_switched_on(deployment: Deployment, tmp_path: Path) -> None:
    workbook = deployment.sigma.organization.workbooks[0]
    deployment.export(("ann", workbook["workbookUrlId"], "", 3))
    deployment.env["SIGMA_IMPRESSIONS_DATAHUB"] = "catalog/usage.json"
    assert deployment.scan() is None
    written = (tmp_path / "catalog" / "usage.json").read_bytes()
    of_workbook = [
        (proposal["aspectName"], proposal["aspect"]["json"]["viewsCount"])
        for proposal in json.loads(written)
        if proposal["entityUrn"] == f"urn:li:dashboard:(sigma,{workbook['workbookId']})"
    ]
    # The total and the day.
    assert of_workbook == [("dashboardUsageStatistics", 3)] * 2

    other = tmp_path / "other.json"
    done = sigma_impressions("export", "datahub", "--to", str(other), env=deployment.env)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{other}: 16 usage statistics as of {TODAY}" in done.stdout
    assert other.read_bytes() == written

    # What DataHub does not take fails the run; what was published stays.
    deployment.env["SIGMA_IMPRESSIONS_DATAHUB"] = deployment.sigma.url
    failure = deployment.scan()
    assert f"DataHub at {deployment.sigma.url} did not take the usage" in str(failure)
    assert deployment.query(OF_RESOURCES) == [(workbook["workbookUrlId"], None, False, 3, 1)]


def test_failures_say_what_is_wrong_with_the_api_and_never_the_secret(deployment: Deployment) -> None:
    workbook = deployment.sigma.organization.workbooks[0]
    deployment.export(("ann", workbook["workbookUrlId"], "", 1))
    add_data_model(deployment.sigma.organization, "e1")
    steps = {step.name: step for step in deployment.check()}
    assert [name for name, step in steps.items() if not step.passed] == ["warehouse"]  # skipped: none is set
    assert steps["resources"].message.startswith(f"3 workbooks, 1 data model at {deployment.sigma.url}, ")

    secret = deployment.sigma.client_secret
    deployment.sigma.client_secret = "another-secret"
    failure = str(deployment.scan())
    assert "POST /v2/auth/token: HTTP 401. Sigma at http://127.0.0.1" in failure
    refused = {step.name: step for step in deployment.check()}["resources"]
    assert refused.passed is False
    assert "POST /v2/auth/token: HTTP 401" in refused.message
    assert secret not in failure + refused.message
    home = Path(deployment.env["DAGSTER_HOME"])
    assert [path for path in home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()] == []
