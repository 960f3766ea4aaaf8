"""A code location that emits `sigma_resources`: put your own Sigma integration in the place of the CSV file."""

import os
from pathlib import Path

import dagster as dg
import polars as pl

CATALOG = "SIGMA_CATALOG"
"""Environment variable that names the CSV file; by default the one beside this module."""


@dg.asset
def sigma_resources() -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Workbooks and elements, left where the variable SIGMA_IMPRESSIONS_RESOURCES says."""
    source = Path(os.environ.get(CATALOG, Path(__file__).with_name("workbooks.csv")))
    found = pl.read_csv(source, infer_schema=False)
    target = Path(os.environ["SIGMA_IMPRESSIONS_RESOURCES"])
    # Beside the old file, then in its place: a reader never sees half of it.
    partial = target.with_name(f"{target.name}.partial")
    found.write_parquet(partial)
    partial.replace(target)
    return dg.MaterializeResult(metadata={"dagster/row_count": found.height})


defs = dg.Definitions(assets=[sigma_resources])
