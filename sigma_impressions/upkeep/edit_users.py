"""Change users in what is stored already: addresses into pseudonyms, or one user into nobody.

Rows are edited in place, file by file, and keep their captures and fingerprints, so nothing is counted anew. Then
older versions, the entries of the logs that describe them, local copies and published files go. The commits are
like those of the runs, but what goes at once may still be read by a run: none may be under way.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from sigma_impressions.errors import AddressesStored
from sigma_impressions.exports.reading.rules import holds_pseudonyms, pseudonymous_fingerprint
from sigma_impressions.lake.commits import StagedFile, replace_files
from sigma_impressions.lake.schemas import ALL_TABLES, EXPORT_FILES, REJECTED_ROWS, SIGMA_RESOURCES, Table
from sigma_impressions.lake.scratch import locked, scratch_folder
from sigma_impressions.lake.storage import clear_errors
from sigma_impressions.lake.tables import WORK_FOLDER, Tables, files_of, retry_conflicts
from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions.report.write import remove_report
from sigma_impressions.users import (
    FORGOTTEN_PREFIX,
    HIDDEN_ADDRESS,
    PSEUDONYM,
    Pseudonyms,
    canonical,
    replaced,
    shape_of,
    without_addresses,
)
from sigma_impressions.windows import LONGEST_WINDOW

_BATCH_ROWS = 250_000

_MOST_ACTIVE = f"impressions_{LONGEST_WINDOW}d"
"""What puts the users of a resource in order."""

_TEXTS_OF_RESOURCES = frozenset({"name", "workbook_name", "path", "url", "page_name"})
"""Columns of resources in which somebody may have written an address."""


@dataclass(frozen=True)
class Edited:
    """What was changed in a table: its data files that held something to change, and all of them."""

    table: str
    changed_files: int
    files: int


@dataclass(frozen=True)
class _Edit:
    """A change of stored users.

    `names` gives the new names of those of the distinct users that get one; `texts` the new text for the columns in
    which an address may stand, by table and column. Done twice, it changes nothing more.
    """

    names: Callable[[pl.Series], Mapping[str, str]]
    texts: Callable[[Table], Mapping[str, pl.Expr]]


def refuse_stored_addresses(tables: Tables) -> None:
    """Raise `AddressesStored` if files were read, or resources kept, with addresses."""
    read = tables.read(EXPORT_FILES).filter(pl.col("status") == "read")
    fingerprints = read.select(pl.col("rules_fingerprint").drop_nulls().unique()).collect()["rules_fingerprint"]
    owners = tables.read(SIGMA_RESOURCES).select(is_address=~pl.col("owner_email").str.contains(PSEUDONYM))
    if not all(map(holds_pseudonyms, fingerprints)) or owners.select(pl.col("is_address").any()).collect().item():
        raise AddressesStored


def pseudonymize_stored(tables: Tables, pseudonyms: Pseudonyms, report: Callable[[str], None]) -> list[Edited]:
    """Turn every stored address into its pseudonym, and remove what held addresses before.

    The result is what reading all files under the new setting would have given, also of files that the bucket does
    not hold any more. Interrupted, it is begun again.
    """

    def names(users: pl.Series) -> Mapping[str, str]:
        addresses = users.filter(~users.str.contains(PSEUDONYM))
        return dict(zip(addresses, pseudonyms.of(addresses), strict=True))

    def texts(table: Table) -> Mapping[str, pl.Expr]:
        found = {column: without_addresses(pl.col(column)) for column in _texts(table)}
        if table is REJECTED_ROWS:
            found["text"] = shape_of(pl.col("text"))
        if table is EXPORT_FILES:
            found["rules_fingerprint"] = pl.col("rules_fingerprint").map_elements(
                lambda old: old if holds_pseudonyms(old) else pseudonymous_fingerprint(old, pseudonyms), pl.String
            )
        return found

    return _edit(tables, _Edit(names, texts), report)


def forget_stored(
    tables: Tables, user: str, pseudonyms: Pseudonyms | None, report: Callable[[str], None]
) -> list[Edited]:
    """Give one user a name that leads to nobody, wherever the user is stored, and remove what named the user before.

    `user` is an address, or a user as the tables have it. What was counted stays: the views are those of somebody
    who cannot be named any more.
    """
    address = canonical(pl.Series([user])).item()
    nobody = f"{FORGOTTEN_PREFIX}{uuid.uuid4().hex}"
    known_as = {address, *([pseudonyms.of_one(address)] if pseudonyms else [])}
    written = f"(?i){pl.escape_regex(address)}"

    def names(users: pl.Series) -> Mapping[str, str]:
        same = canonical(users)
        return dict.fromkeys(users.filter(same.is_in(list(known_as))), nobody)

    def texts(table: Table) -> Mapping[str, pl.Expr]:
        found = {column: pl.col(column).str.replace_all(written, HIDDEN_ADDRESS) for column in _texts(table)}
        if table is REJECTED_ROWS:
            text = pl.col("text")
            found["text"] = pl.when(text.str.contains(written)).then(shape_of(text)).otherwise(text)
        return found

    return _edit(tables, _Edit(names, texts), report)


def _texts(table: Table) -> list[str]:
    if table is EXPORT_FILES:
        return ["detail"]
    held = set(table.schema)
    return sorted(_TEXTS_OF_RESOURCES & held) if "owner_email" in held else []


# --- Editing ------------------------------------------------------------------------------------------------------


def _edit(tables: Tables, edit: _Edit, report: Callable[[str], None]) -> list[Edited]:
    done = []
    # Its start removes the temporary folders of dead processes, downloaded exports among them.
    with scratch_folder(tables.root / WORK_FOLDER) as scratch:
        for table in _ORDER:
            edited = retry_conflicts(partial(_edit_table, tables, table, edit, scratch))
            done.append(edited)
            if edited.changed_files:
                report(f"{table.name}: {edited.changed_files:,} of {edited.files:,} files changed")
    # This and what follows also if nothing was changed: an earlier try may have been interrupted before it.
    tables.mark_edited()
    for table in ALL_TABLES:
        retry_conflicts(partial(_purge, tables, table))
    report("older versions of all tables deleted")
    tables.storage.forget_copies()
    with locked(tables.root / f".{DATABASE_NAME}.lock"):
        (tables.root / DATABASE_NAME).unlink(missing_ok=True)
    remove_report(tables.root)
    return done


_ORDER = (*(table for table in ALL_TABLES if table is not EXPORT_FILES), EXPORT_FILES)
"""The registry that tells whether addresses are stored last, so that an interrupted change is not taken for a whole."""


def _edit_table(tables: Tables, table: Table, edit: _Edit, scratch: Path) -> Edited:
    """Write those data files of a table anew that hold something to change, and commit them together."""
    handle = tables.open(table)
    columns = _Columns.of(table)
    texts = edit.texts(table)
    files = files_of(handle)
    staged: dict[str, StagedFile] = {}
    if not (columns.flat or columns.nested or texts):
        return Edited(table.name, 0, files.height)
    paths = tables.storage.paths(table.name, files["path"].to_list())
    for file, path in zip(files.iter_rows(named=True), paths, strict=True):
        names = edit.names(columns.users(path))
        held = set(pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema())
        new_texts = {column: text for column, text in texts.items() if column in held}
        if not names and not _differs(path, new_texts):
            continue
        target = scratch / f"{uuid.uuid4().hex}.parquet"
        rows = _rewrite(path, target, partial(columns.changed, names=names, texts=new_texts))
        staged[file["path"]] = StagedFile(target, {name: str(file[name]) for name in table.partition_by}, rows)
    replace_files(handle, files.filter(pl.col("path").is_in(staged)), list(staged.values()))
    return Edited(table.name, len(staged), files.height)


@dataclass(frozen=True)
class _Columns:
    """The columns of a table that hold users: `flat` ones, and `nested` lists of records, each with its fields.

    A list that is `ordered` has the most active users first, then by name.
    """

    flat: tuple[str, ...]
    nested: Mapping[str, tuple[str, ...]]
    ordered: frozenset[str]

    @staticmethod
    def of(table: Table) -> _Columns:
        flat = [name for name in table.schema if name.endswith("_email")]
        fields = {
            name: [inner.name for inner in dtype.inner.fields]
            for name, dtype in table.schema.items()
            if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct)
        }
        nested = {name: tuple(inner for inner in inners if inner.endswith("_email")) for name, inners in fields.items()}
        ordered = {name for name, inners in fields.items() if {_MOST_ACTIVE, "user_email"} <= set(inners)}
        return _Columns(tuple(flat), {name: inners for name, inners in nested.items() if inners}, frozenset(ordered))

    def users(self, path: str) -> pl.Series:
        """The distinct users of a data file."""
        rows = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        held = set(rows.collect_schema().names())
        columns = [rows.select(user=pl.col(name).cast(pl.String)) for name in self.flat if name in held]
        columns += [
            rows.select(pl.col(name).explode().struct.field(inner).alias("user"))
            for name, inners in self.nested.items()
            for inner in inners
            if name in held
        ]
        nobody = pl.LazyFrame(schema={"user": pl.String})
        return pl.concat([nobody, *columns]).drop_nulls().unique().sort("user").collect()["user"]

    def changed(self, frame: pl.DataFrame, names: Mapping[str, str], texts: Mapping[str, pl.Expr]) -> pl.DataFrame:
        """The frame with the new names and texts; users of a resource are in order again."""
        flat = [replaced(pl.col(name), names) for name in self.flat if name in frame.columns]
        nested = []
        for name in self.nested.keys() & set(frame.columns):
            records = pl.element().struct.with_fields(replaced(pl.field(inner), names) for inner in self.nested[name])
            nested.append(pl.col(name).list.eval(_in_order(records) if name in self.ordered else records))
        return frame.with_columns(*flat, *nested, **texts)


def _in_order(records: pl.Expr) -> pl.Expr:
    """Users of a resource as the metrics have them."""
    impressions, user = (records.struct.field(name) for name in (_MOST_ACTIVE, "user_email"))
    return records.sort_by(impressions, user, descending=[True, False])


def _differs(path: str, texts: Mapping[str, pl.Expr]) -> bool:
    if not texts:
        return False
    changed = [text.ne_missing(pl.col(column)).any() for column, text in texts.items()]
    rows = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    return bool(rows.select(pl.any_horizontal(changed)).collect().item())


def _rewrite(path: str, target: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> int:
    """Write a data file anew, piece by piece, with its rows changed; how many there are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        # Statistics of texts would say in clear which users are first and last.
        of_dates = [column.name for column in schema if pa.types.is_date(column.type)]
        with pq.ParquetWriter(target, schema, compression="zstd", write_statistics=of_dates) as writer:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                frame = pl.from_arrow(pa.Table.from_batches([batch]))
                assert isinstance(frame, pl.DataFrame)
                writer.write_table(change(frame).to_arrow().select(schema.names).cast(schema))
        return int(file.metadata.num_rows)


# --- What was before ----------------------------------------------------------------------------------------------

_LOG_RETENTION = "delta.logRetentionDuration"


def _purge(tables: Tables, table: Table) -> None:
    """Delete all older versions of a table, and the log that describes them.

    The log too: it holds the smallest and the largest text of each column.
    """
    handle = tables.open(table)
    with clear_errors(tables.storage, f"vacuuming {tables.location(table)}"):
        handle.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
        handle = tables.open(table)
        handle.alter.set_table_properties({_LOG_RETENTION: "interval 0 seconds"}, raise_if_not_exists=False)
        handle = tables.open(table)
        handle.create_checkpoint()
        handle.cleanup_metadata()
        handle.alter.set_table_properties({_LOG_RETENTION: "interval 30 days"}, raise_if_not_exists=False)
