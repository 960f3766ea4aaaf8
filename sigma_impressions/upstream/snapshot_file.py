"""Read a snapshot of `sigma_resources` from a file that the upstream integration left."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from sigma_impressions.errors import ResourcesUnreadable
from sigma_impressions.upstream.contract import conform

_NDJSON = (".ndjson", ".jsonl", ".json")


def read_snapshot(location: str, storage_options: Mapping[str, str] | None = None) -> pl.DataFrame:
    """The resources of a Parquet, CSV or newline-delimited JSON file at a path or URI, as the contract has them.

    Raises `ResourcesUnreadable` if the file cannot be opened, `ResourcesRefused` if it breaks the contract.
    """
    options = dict(storage_options or {})
    name = location.lower()
    try:
        if name.endswith((".parquet", ".pq")):
            frame = pl.scan_parquet(location, glob=False, storage_options=options).collect()
        elif name.endswith(".csv"):
            # Everything as text: an ID such as 00123 stays what it is, the contract knows the types.
            frame = pl.scan_csv(location, infer_schema=False, glob=False, storage_options=options).collect()
        elif name.endswith(_NDJSON):
            frame = pl.scan_ndjson(location, infer_schema_length=None, storage_options=options).collect()
        else:
            raise ResourcesUnreadable(
                f"The name of {location} ends in none of .parquet, .csv, .ndjson, .jsonl. Give "
                "SIGMA_IMPRESSIONS_RESOURCES the path or URI of a Parquet, CSV or newline-delimited JSON file."
            )
    except FileNotFoundError as error:
        raise ResourcesUnreadable(
            f"There is no file {location}. Set SIGMA_IMPRESSIONS_RESOURCES to where the upstream Sigma "
            "integration leaves its resources."
        ) from error
    except pl.exceptions.NoDataError:
        frame = pl.DataFrame(schema={"resource_type": pl.String, "workbook_url_id": pl.String})
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ResourcesUnreadable(f"{location} cannot be read: {error}") from error
    return conform(frame, location)
