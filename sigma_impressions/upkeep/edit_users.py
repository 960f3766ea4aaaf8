"""Change users in what is stored already: addresses into pseudonyms, or one user into nobody.

Rows are edited in place, file by file, and keep their captures and fingerprints, so nothing is counted anew. Then
older versions, the entries of the logs that describe them, local copies and published files go. The commits are
like those of the runs, but what goes at once may still be read by a run: none may be under way.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import polars as pl
from polars._typing import PolarsDataType

from sigma_impressions.addresses import Person, is_address
from sigma_impressions.errors import AddressesStored, UserUnknown
from sigma_impressions.exports.reading.rules import holds_pseudonyms, pseudonymous_fingerprint
from sigma_impressions.lake.commits import StagedFile, drop_former_columns, partition_of, replace_files
from sigma_impressions.lake.inventory import require_intact, take_stock
from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    CAPTURED_ROWS,
    EXPORT_FILES,
    REJECTED_ROWS,
    SIGMA_MEMBERS,
    SIGMA_RESOURCES,
    Table,
)
from sigma_impressions.lake.scratch import scratch_folder, temporary_folder
from sigma_impressions.lake.storage import clear_errors
from sigma_impressions.lake.tables import (
    WORK_FOLDER,
    Tables,
    files_of,
    local_paths,
    retry_conflicts,
    scan_files,
    set_property,
    shorten_log,
)
from sigma_impressions.publish.database import remove_database
from sigma_impressions.report.write import remove_report
from sigma_impressions.upstream.members_stored import day_of
from sigma_impressions.users import (
    FORGOTTEN_PREFIX,
    HIDDEN_ADDRESS,
    PSEUDONYM,
    Kind,
    Pseudonyms,
    kind_of,
    person_of,
    shape_of,
    without_addresses,
)

_BATCH_ROWS = 250_000

_Change = Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True)
class Edited:
    """What was changed in a table: its data files that held something to change, and all of them."""

    table: str
    changed_files: int
    files: int


@dataclass(frozen=True)
class _Edit:
    """A change of stored users: what becomes of the texts of each kind, in whatever table and column they stand.

    `columns` are those of which something else becomes, by table and name. Done twice, it changes nothing more.
    """

    kinds: Mapping[Kind, _Change]
    columns: Mapping[tuple[Table, str], _Change]


def refuse_stored_addresses(tables: Tables) -> None:
    """Raise `AddressesStored` if files were read, or resources or members kept, with addresses."""
    read = tables.read(EXPORT_FILES).filter(pl.col("status") == "read")
    fingerprints = read.select(pl.col("rules_fingerprint").drop_nulls().unique()).collect()["rules_fingerprint"]
    # Of a member the ID: somebody without an address has a name.
    users = pl.concat(
        [tables.read(SIGMA_RESOURCES).select(user="owner_email"), tables.read(SIGMA_MEMBERS).select(user="member_id")]
    )
    is_address = ~pl.col("user").str.contains(PSEUDONYM)
    if not all(map(holds_pseudonyms, fingerprints)) or users.select(is_address.any()).collect().item():
        raise AddressesStored


def pseudonymize_stored(tables: Tables, pseudonyms: Pseudonyms, report: Callable[[str], None]) -> list[Edited]:
    """Turn every stored address into its pseudonym, and remove what held addresses before.

    The result is what reading all files under the new setting would have given, also of files that the bucket does
    not hold any more. Interrupted, it is begun again.
    """

    def users(texts: pl.Series) -> pl.Series:
        addresses = texts.filter(~texts.str.contains(PSEUDONYM)).unique()
        return texts.replace(addresses, pseudonyms.of(addresses))

    def fingerprint(old: str) -> str:
        return old if holds_pseudonyms(old) else pseudonymous_fingerprint(old, pseudonyms)

    edit = _Edit(
        {Kind.USER: _by_series(users), Kind.ID: _by_series(pseudonyms.in_ids), Kind.TEXT: without_addresses},
        {
            (REJECTED_ROWS, "text"): shape_of,
            # As `members_stored.as_stored` leaves them.
            (SIGMA_MEMBERS, "member_id"): _by_series(users),
            (SIGMA_MEMBERS, "name"): lambda _: pl.lit(None, pl.String).alias("name"),
            (SIGMA_MEMBERS, "created_at"): day_of,
            (EXPORT_FILES, "rules_fingerprint"): lambda texts: texts.map_elements(fingerprint, pl.String),
        },
    )
    return _edit(tables, edit, report)


def forget_stored(
    tables: Tables, user: str, pseudonyms: Pseudonyms | None, report: Callable[[str], None]
) -> list[Edited]:
    """Give one user a name that leads to nobody, wherever the user is stored, and remove what named the user before.

    `user` is an address, or a user as the tables have it: `UserUnknown` if it is neither. What was counted stays: the
    views are those of somebody who cannot be named any more.
    """
    person = person_of(user, pseudonyms)
    if not is_address(user) and not _is_stored(tables, person):
        raise UserUnknown
    alone = replace(person, alone=True)
    secret = secrets.token_bytes()

    def nobody(name: str) -> str:
        # Two ways to write a name are two users, or two IDs; they stay two.
        return f"{FORGOTTEN_PREFIX}{hmac.digest(secret, name.encode(), 'sha256').hex()[:32]}"

    def users(texts: pl.Series) -> pl.Series:
        return _replaced(texts, alone.stand_in(texts), lambda text: nobody(text.strip().lower()))

    def ids(texts: pl.Series) -> pl.Series:
        return _replaced(texts, alone.stand_in(texts), lambda text: alone.replaced(text, nobody))

    def hidden(texts: pl.Series) -> pl.Series:
        return _replaced(texts, person.stand_in(texts), lambda text: person.replaced(text, lambda _: HIDDEN_ADDRESS))

    def rejected(texts: pl.Expr) -> pl.Expr:
        named = texts.map_batches(person.stand_in, pl.Boolean)
        return pl.when(named).then(shape_of(texts)).otherwise(texts)

    of_others = ~pl.col("user_email").map_batches(person.stand_in, pl.Boolean)
    columns: dict[tuple[Table, str], _Change] = {
        (REJECTED_ROWS, "text"): rejected,
        # Of the member nothing is left that is the person's: the address in the row tells which one it is.
        (SIGMA_MEMBERS, "member_id"): lambda texts: (
            pl.when(of_others).then(_by_series(ids)(texts)).otherwise(_by_series(users)(pl.col("user_email")))
        ),
        (SIGMA_MEMBERS, "name"): lambda texts: pl.when(of_others).then(_by_series(hidden)(texts)),
        (SIGMA_MEMBERS, "teams"): lambda texts: pl.when(of_others).then(
            texts.list.eval(_by_series(hidden)(pl.element()))
        ),
        # The same moment would stand beside the person's name if the person came back.
        (SIGMA_MEMBERS, "created_at"): lambda times: pl.when(of_others).then(times),
    }
    kinds = {Kind.USER: _by_series(users), Kind.ID: _by_series(ids), Kind.TEXT: _by_series(hidden)}
    edited = _edit(tables, _Edit(kinds, columns), report)
    if is_address(user) and (left := _left(tables, person)):
        listed = ", ".join(f"{column} ({texts:,})" for column, texts in left.items())
        report(
            "Texts that hold the address within a longer word, which may be the address of somebody else, stay as they "
            f"are: {listed}"
        )
    return edited


def _left(tables: Tables, person: Person) -> dict[str, int]:
    """The columns, with their tables, that hold the user within longer words, and in how many texts of a data file."""
    found: Counter[str] = Counter()
    for table in ALL_TABLES:
        handle = tables.open(table)
        texts = [
            (pl.col(name).explode() if isinstance(dtype, pl.List) else pl.col(name)).alias(name)
            for name, dtype in table.schema.items()
            if dtype in (pl.String, pl.List(pl.String)) and kind_of(name) is not None and name not in table.partition_by
        ]
        held = [text.filter(text.map_batches(person.within, pl.Boolean)).n_unique() for text in texts]
        for file in files_of(handle).iter_slices(1) if texts else ():
            counts = scan_files(handle, file).select(held).collect().row(0, named=True)
            found.update({f"{table.name}.{name}": number for name, number in counts.items()})
    return dict(+found)


def _by_series(change: Callable[[pl.Series], pl.Series]) -> _Change:
    return lambda texts: texts.map_batches(change, pl.String)


def _replaced(texts: pl.Series, which: pl.Series, new: Callable[[str], str]) -> pl.Series:
    distinct = texts.filter(which).unique()
    if distinct.is_empty():
        return texts
    return texts.replace(distinct, pl.Series([new(text) for text in distinct], dtype=pl.String))


def _is_stored(tables: Tables, person: Person) -> bool:
    """Whether a table holds the user as a user, also in an older version: an earlier try may have been interrupted."""

    def others(users: pl.Series) -> pl.Series:
        return _replaced(users, person.are(users), lambda _: "")

    without = _Edit({Kind.USER: _by_series(others)}, {})
    for table in ALL_TABLES:
        if changes := _changes(table, without):
            sizes = tables.storage.sizes(table.name)
            files = {path: size for path, size in sizes.items() if path.endswith(".parquet")}
            if any(_differs(path, changes) for path in tables.storage.paths(table.name, files)):
                return True
    return False


# --- Editing ------------------------------------------------------------------------------------------------------


def _edit(tables: Tables, edit: _Edit, report: Callable[[str], None]) -> list[Edited]:
    done = []
    require_intact(tables)
    # Their start removes the temporary folders of dead processes, downloaded exports among them.
    with temporary_folder(), scratch_folder(tables.root / WORK_FOLDER) as scratch:
        for table in _ORDER:
            # No table knows these, so that nothing in them could be edited.
            retry_conflicts(partial(_drop_former_columns, tables, table))
            edited = retry_conflicts(partial(_edit_table, tables, table, edit, scratch))
            done.append(edited)
            if edited.changed_files:
                report(f"{table.name}: {edited.changed_files:,} of {edited.files:,} files changed")
    # This and what follows also if nothing was changed: an earlier try may have been interrupted before it.
    tables.mark_edited()
    # Before the logs go that tell that the files of before were removed.
    take_stock(tables)
    for table in ALL_TABLES:
        retry_conflicts(partial(_purge, tables, table))
    report("older versions of all tables deleted")
    tables.storage.forget_copies()
    remove_database(tables.storage)
    remove_report(tables.storage)
    return done


_ORDER = (*(table for table in ALL_TABLES if table is not EXPORT_FILES), EXPORT_FILES)
"""The registry that tells whether addresses are stored last, so that an interrupted change is not taken for a whole."""


def _drop_former_columns(tables: Tables, table: Table) -> None:
    drop_former_columns(tables.open(table))


def _edit_table(tables: Tables, table: Table, edit: _Edit, scratch: Path) -> Edited:
    """Write those data files of a table anew that hold something to change, and commit them together."""
    handle = tables.open(table)
    changes = _changes(table, edit)
    files = files_of(handle)
    staged: dict[str, StagedFile] = {}
    if not changes:
        return Edited(table.name, 0, files.height)
    paths = local_paths(handle, files)
    for file, path in zip(files.iter_rows(named=True), paths, strict=True):
        if not _differs(path, changes):
            continue
        target = scratch / f"{uuid.uuid4().hex}.parquet"
        rows = _rewrite(path, target, lambda frame: _in_new_order(table, _changed(frame, changes)))
        staged[file["path"]] = StagedFile(target, partition_of(table, file), rows)
    replace_files(handle, files.filter(pl.col("path").is_in(staged)), list(staged.values()))
    return Edited(table.name, len(staged), files.height)


def _changes(table: Table, edit: _Edit) -> dict[str, pl.Expr]:
    """What becomes of the columns of a table that hold texts, by their names."""
    found = {name: _change_of(pl.col(name), name, dtype, edit.kinds) for name, dtype in table.schema.items()}
    of_its_own = {name: change(pl.col(name)) for (where, name), change in edit.columns.items() if where is table}
    return {name: changed for name, changed in found.items() if changed is not None} | of_its_own


def _change_of(value: pl.Expr, name: str, dtype: PolarsDataType, kinds: Mapping[Kind, _Change]) -> pl.Expr | None:
    """What becomes of the values of a column, or of a field of records; None if nothing can change."""
    if dtype == pl.String:
        change = kinds.get(kind) if (kind := kind_of(name)) is not None else None
        return None if change is None else change(value)
    if isinstance(dtype, pl.List):
        changed = _change_of(pl.element(), name, dtype.inner, kinds)
        return None if changed is None else value.list.eval(changed)
    if isinstance(dtype, pl.Struct):
        fields = [_change_of(pl.field(field.name), field.name, field.dtype, kinds) for field in dtype.fields]
        if new := [field for field in fields if field is not None]:
            return value.struct.with_fields(new)
    return None


def _changed(frame: pl.DataFrame, changes: Mapping[str, pl.Expr]) -> pl.DataFrame:
    return frame.with_columns(changed for name, changed in changes.items() if name in frame.columns)


_ORDERED_BY = ("user_email", "member_id")


def _in_new_order(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that lay in the order of their former users, which would tell who is who to those with a list of them.

    Captured rows lie in the order of their export file.
    """
    columns = [] if table in CAPTURED_ROWS else [name for name in _ORDERED_BY if name in rows.columns]
    return rows.sort(columns, maintain_order=True) if columns else rows


def _differs(path: str, changes: Mapping[str, pl.Expr]) -> bool:
    """Whether a change changes something in a data file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        held = [name for name in file.schema_arrow.names if name in changes]
        if not held:
            return False
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=held):
            frame = pl.from_arrow(pa.Table.from_batches([batch]))
            assert isinstance(frame, pl.DataFrame)
            if not _changed(frame, changes).equals(frame):
                return True
    return False


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
        set_property(handle, _LOG_RETENTION, "interval 0 seconds")
        handle = tables.open(table)
        shorten_log(handle)
        set_property(handle, _LOG_RETENTION, "interval 30 days")
