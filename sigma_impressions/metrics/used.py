"""The lists of users of the resources: built from sorted columns, which takes a fifth of what SQL's `list` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from sigma_impressions.metrics import engine

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


def used_lists(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """For each known resource that was viewed, its number (`resource_no`) and the list of its users (`used`).

    Reads what `sql/used.sql` reads.
    """
    import pyarrow as pa

    users = engine.frame(engine.run(connection, "used", {}))
    resources = users.get_column("resource_no").rle()
    values = users.select(pl.struct(pl.exclude("resource_no"))).to_series().to_arrow()
    # Not of numpy arrays, for which pyarrow would import pandas where it is installed.
    ends = resources.struct.field("len").cast(pl.Int64).cum_sum()
    bounds = pl.concat([pl.Series([0], dtype=pl.Int64), ends]).to_arrow()
    lists = pa.LargeListArray.from_arrays(bounds, values)
    return pa.Table.from_arrays([resources.struct.field("value").to_arrow(), lists], names=["resource_no", "used"])
