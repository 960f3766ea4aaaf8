"""The lists of users of the resources: built from sorted columns, which takes a fifth of what SQL's `list` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from sigma_impressions.errors import ConservationError
from sigma_impressions.metrics import QUERIES
from sigma_impressions.windows import LONGEST_WINDOW

if TYPE_CHECKING:
    import duckdb


def with_user_lists(connection: duckdb.DuckDBPyConnection, resources: pl.DataFrame) -> pl.DataFrame:
    """The result of `sql/resource_impressions.sql` with the list of users of each resource (`used`).

    The rows of `sql/user_lists.sql` are cut into the lists as they are, and copied no more.
    """
    import pyarrow as pa

    users = QUERIES.frame(connection, "user_lists")
    lengths = resources.get_column(f"distinct_impressions_users_{LONGEST_WINDOW}d")
    used = lengths > 0
    viewed = resources.get_column("resource_no").filter(used)
    found = users.get_column("resource_no").rle().struct
    if not (found.field("value").equals(viewed) and found.field("len").equals(lengths.filter(used))):
        raise ConservationError("The lists of users do not fit the resources. Nothing was written; please report this.")
    values = users.select(pl.struct(pl.exclude("resource_no"))).to_series().to_arrow()
    # Not of numpy arrays, for which pyarrow would import pandas where it is installed.
    bounds = pl.concat([pl.Series([0], dtype=pl.Int64), lengths.cum_sum()]).to_arrow()
    lists = pl.Series("used", pa.LargeListArray.from_arrays(bounds, values))
    return resources.drop("resource_no").with_columns(lists)
