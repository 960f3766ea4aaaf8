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
    import numpy as np
    import pyarrow as pa

    users = engine.frame(engine.run(connection, "used", {}))
    resources = users.get_column("resource_no").to_numpy()
    begins = np.flatnonzero(np.diff(resources, prepend=-1))
    values = users.select(pl.struct(pl.exclude("resource_no"))).to_series().to_arrow()
    lists = pa.LargeListArray.from_arrays(pa.array(np.append(begins, len(resources))), values)
    return pa.Table.from_arrays([pa.array(resources[begins]), lists], names=["resource_no", "used"])
