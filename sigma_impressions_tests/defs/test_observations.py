"""Usage on the pages of workbook assets: the same keys as dagster-sigma's, and nothing that has not changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster_sigma import SigmaOrganization, load_sigma_asset_specs

from sigma_impressions.defs.observations import WorkbookKey, dagster_sigma_key, usage_observations
from sigma_impressions.demo.fake_sigma import FakeSigma, Organization
from sigma_impressions_tests.upstream.organizations import large_organization


def publish(path: Path, organization: Organization, views: Mapping[int, int]) -> Path:
    """A database with so many views of each workbook, by its place in the organization."""
    windows = (14, 30, 60)
    figures = [
        f"{name}_with_elements_{days}d BIGINT"
        for name in ("total_impressions", "distinct_impressions_users")
        for days in windows
    ]
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE resource_impressions (resource_type VARCHAR, workbook_id VARCHAR, workbook_url_id VARCHAR, "
            f"name VARCHAR, url VARCHAR, is_deleted BOOLEAN, last_impression_at TIMESTAMPTZ, {', '.join(figures)})"
        )
        for number, entry in enumerate(organization.workbooks):
            count = views.get(number, 0)
            row = [
                "sigma_workbook",
                *(entry[name] for name in ("workbookId", "workbookUrlId", "name", "url")),
                False,
                "2026-11-20 08:00:00Z" if count else None,
                *([count] * 3),
                *([min(count, 1)] * 3),
            ]
            connection.execute(f"INSERT INTO resource_impressions VALUES ({', '.join('?' * len(row))})", row)
        # A data model, of which dagster-sigma makes no asset.
        model = "'sigma_data_model' AS resource_type, 'Model' AS name, 'model' AS workbook_url_id"
        connection.execute(
            f"INSERT INTO resource_impressions SELECT * REPLACE ({model}) FROM resource_impressions LIMIT 1"
        )
    return path


def observe(
    instance: dg.DagsterInstance, database: Path, key_of: WorkbookKey = dagster_sigma_key
) -> dict[str, Mapping[str, Any]]:
    """Log the observations in a run, as the asset does, and return their figures by asset key."""

    @dg.asset
    def publication(context: dg.AssetExecutionContext) -> None:
        for observation in usage_observations(context.instance, database, key_of):
            context.log_event(observation)

    result = dg.materialize([publication], instance=instance)
    return {
        event.asset_key.to_user_string(): {
            name: value.value for name, value in event.asset_observation_data.asset_observation.metadata.items()
        }
        for event in result.all_events
        if event.event_type_value == "ASSET_OBSERVATION" and event.asset_key is not None
    }


@pytest.mark.slow
def test_the_assets_of_dagster_sigma_show_their_usage(tmp_path: Path) -> None:
    organization = large_organization(3, 6)
    organization.workbooks[1]["name"] = "P&L – Q3/2026 (final)"
    with FakeSigma(organization) as sigma, dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        client = SigmaOrganization(base_url=sigma.url, client_id=sigma.client_id, client_secret=sigma.client_secret)
        specs = load_sigma_asset_specs(client, fetch_column_data=False, fetch_lineage_data=False)
        database = publish(tmp_path / "usage.duckdb", organization, {0: 3, 1: 40})
        seen = observe(instance, database)
        assert seen.keys() == {spec.key.to_user_string() for spec in specs}
        wanted = organization.workbooks[1]["workbookId"]
        (key,) = [spec.key for spec in specs if spec.metadata["dagster_sigma/workbook_id"] == wanted]
        first = seen[key.to_user_string()]
        assert (first["total_impressions_with_elements_30d"], first["rank"]) == (40, 1)
        assert first["distinct_impressions_users_with_elements_60d"] == 1
        assert first["workbook"] == organization.workbooks[1]["url"]
        assert first["last_impression_at"] == 1795161600.0
        assert {name for name, figures in seen.items() if "last_impression_at" not in figures} == {"Workbook_2"}

        # Nothing new is not told again; a workbook that was viewed moves others too only if their rank changes.
        assert observe(instance, database) == {}
        publish(database, organization, {0: 4, 1: 40})
        assert observe(instance, database).keys() == {"Workbook_0"}


def test_the_mapping_to_asset_keys_is_replaceable(tmp_path: Path) -> None:
    organization = large_organization(3, 3)
    database = publish(tmp_path / "usage.duckdb", organization, {0: 3})

    def only_the_first(workbook: Mapping[str, Any]) -> dg.AssetKey | None:
        return dg.AssetKey(["sigma", workbook["workbook_id"]]) if workbook["name"] == "Workbook 0" else None

    with dg.DagsterInstance.ephemeral() as instance:
        seen = observe(instance, database, only_the_first)
    assert list(seen) == [f"sigma/{organization.workbooks[0]['workbookId']}"]


def test_of_workbooks_with_one_key_the_most_viewed_one_counts(tmp_path: Path) -> None:
    organization = large_organization(2, 2)
    for entry in organization.workbooks:
        entry["name"] = "Sales"
    database = publish(tmp_path / "usage.duckdb", organization, {0: 3, 1: 5})
    with dg.DagsterInstance.ephemeral() as instance:
        assert observe(instance, database)["Sales"]["total_impressions_with_elements_60d"] == 5


def test_only_a_web_address_is_a_link(tmp_path: Path) -> None:
    organization = large_organization(4, 4)
    urls = ("javascript:alert(1)", "https://app.sigmacomputing.com/x", "data:text/html,x", "HTTP://example.com/\u202ex")
    for number, url in enumerate(urls):
        organization.workbooks[number] |= {"name": f"w{number}", "url": url}
    database = publish(tmp_path / "usage.duckdb", organization, {})
    with dg.DagsterInstance.ephemeral() as instance:
        seen = observe(instance, database)
    shown = [seen[f"w{number}"].get("workbook") for number in range(4)]
    assert shown == [None, urls[1], None, "HTTP://example.com/?x"]
