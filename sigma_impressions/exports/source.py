"""Whose exports the tables hold: those of one bucket and prefix, which is noted with the first of them.

Another source over the same storage would be added to them without a word: a copied `.env`, or two pipelines of one
code location. Credentials and endpoints do not count, as they change.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from sigma_impressions.errors import OtherSource
from sigma_impressions.lake.schemas import RAW_EXPORT_FILES
from sigma_impressions.lake.storage import clear_errors
from sigma_impressions.lake.tables import StoredTable, Tables, files_of, note_source, retry_conflicts, scan, source_of


@dataclass(frozen=True)
class Source:
    """Where exports are read from: `uri` names cloud, bucket and prefix."""

    uri: str
    bucket: str
    prefix: str


def claim_tables(tables: Tables, source: Source, *, moved: bool = False) -> None:
    """Note that the tables hold the exports of a source, from its first ones on; with `moved` it takes them over.

    Raises `OtherSource` if they hold those of another one. Tables without an export file are anybody's.
    """
    retry_conflicts(lambda: claimed_manifest(tables, source, moved=moved))


def claimed_manifest(tables: Tables, source: Source, *, moved: bool = False) -> StoredTable:
    """The manifest as `claim_tables` leaves it, opened. Raises `CommitFailedError` if another process got in between.

    Whoever adds something has to look again at the source that is noted, after each commit of others.
    """
    manifest = tables.open(RAW_EXPORT_FILES)
    if source_of(manifest) != source.uri:
        if not moved:
            refuse_other(manifest, source)
        with clear_errors(tables.storage, f"writing to {tables.location(RAW_EXPORT_FILES)}"):
            note_source(manifest, source.uri)
    return manifest


def refuse_other_source(tables: Tables, source: Source) -> None:
    """Raise `OtherSource` if the tables hold the exports of another source."""
    refuse_other(tables.newest(RAW_EXPORT_FILES), source)


def refuse_other(manifest: StoredTable, source: Source) -> None:
    """As `refuse_other_source`, of an opened manifest."""
    noted = source_of(manifest)
    if noted == source.uri or not files_of(manifest)["rows"].sum():
        return
    if noted is None:
        # Of a version that did not note it.
        is_own = (pl.col("bucket") == source.bucket) & pl.col("key").str.starts_with(source.prefix)
        others = scan(manifest).filter(~is_own).select("bucket", "key").head(1).collect()
        if others.is_empty():
            return
        noted = "bucket {}, such as {}".format(*others.row(0))
    raise OtherSource(
        f"{manifest.storage.uri(manifest.table.name)} holds export files of {noted}, and SIGMA_IMPRESSIONS_BUCKET_URI "
        f"is {source.uri}. In one storage they would be added together, so nothing was read. If they are two sources, "
        "give this one a storage of its own (SIGMA_IMPRESSIONS_STORAGE). If the exports of the one have moved, say so "
        "once: sigma-impressions run --source-moved, or source_moved in the configuration of raw_export_files"
    )
