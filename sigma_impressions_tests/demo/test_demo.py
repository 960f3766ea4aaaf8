"""`make demo ARGS=--sigma-api`: everything, with workbooks and elements discovered over HTTP."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sigma_impressions.demo.generate import resources
from sigma_impressions.lake import engine
from sigma_impressions.lake.schemas import RESOURCE_SNAPSHOTS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.upstream.contract import SCHEMA, conform
from sigma_impressions_tests.at_terminal import at_terminal
from sigma_impressions_tests.commands import environment


@pytest.mark.slow
def test_the_demo_discovers_all_resources_over_http(tmp_path: Path) -> None:
    env = environment(tmp_path, {}, new_instance=True)
    with at_terminal(["demo", "--sigma-api", "--no-ui", "--days", "2"], env=env, cwd=tmp_path, columns=300) as terminal:
        code = terminal.ended()
    assert code == 0, terminal.text
    told = re.search(r"not Sigma's answers at (http://127\.0\.0\.1:\d+)\n", terminal.text)
    assert told is not None, terminal.text
    folder = tmp_path / "data" / "demo"
    # Where the results are, and how to open the report, with no trace of the line that told what was under way.
    report = folder / "storage" / "usage_report.html"
    assert terminal.text.splitlines()[-3:] == [
        f"Report                {report}",
        f"Open it with          {report.as_uri()}",
        f"Database              {folder / 'storage' / 'sigma_impressions.duckdb'}",
    ]
    assert not re.search("[⠁-⣿]", terminal.text), terminal.text
    findings = re.findall(r"^Check: (\w+, \w+)", terminal.text, re.MULTILINE)
    assert len(findings) == len(set(findings)) > 0
    assert not (folder / "sigma_resources.parquet").exists()
    # As in a folder without a checkout: nothing of Dagster's telemetry.
    assert (folder / "dagster_home" / "dagster.yaml").is_file()
    assert not (folder / "dagster_home" / ".telemetry").exists()
    snapshots = Tables(folder / "storage").read(RESOURCE_SNAPSHOTS).collect()
    assert snapshots["read_from"].to_list() == [told[1]]

    wanted = conform(resources().filter(~pl.col("is_deleted")), "the demo")
    with duckdb.connect(str(folder / "storage" / "sigma_impressions.duckdb"), read_only=True) as connection:
        found = engine.frame(connection.sql("SELECT * FROM sigma_resources").to_arrow_table())
        viewed = connection.execute("SELECT count(*) FROM resource_impressions WHERE total_impressions_14d > 0")
        assert viewed.fetchall()[0][0] > 100
    # DuckDB calls UTC by another name.
    assert_frame_equal(found.select(*SCHEMA).cast(dict(wanted.schema)), wanted, check_row_order=False)
