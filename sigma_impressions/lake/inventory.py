"""What should be in the storage, and what is missing of it or broken.

The log of a table says which data files it has, and nobody says whether the log is whole: a lost commit, or a folder
that was restored from an old backup, is a table with fewer rows. So the registry `data_files` names the data files of
all that cannot be made again, those of captured rows, of snapshots, and of days whose single views were dropped.
Everything else is a function of these: what is lost of it counts as not built yet, and is made again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

import polars as pl

from sigma_impressions.errors import DamagedError
from sigma_impressions.lake.commits import append_rows, replace_rows
from sigma_impressions.lake.digests import file_digest, named_digest
from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    AS_OF_DATES,
    CAPTURED_ROWS,
    DAILY_TABLES,
    DATA_FILES,
    EVENT_DATES,
    EXPORT_FILES,
    MEMBER_SNAPSHOTS,
    NORMALIZED_IMPRESSIONS,
    RAW_EXPORT_FILES,
    RESOURCE_SNAPSHOTS,
    SIGMA_MEMBERS,
    SNAPSHOTS,
    Table,
)
from sigma_impressions.lake.scratch import scratch_folder
from sigma_impressions.lake.tables import (
    WORK_FOLDER,
    StoredTable,
    Tables,
    files_of,
    retry_conflicts,
    scan,
    scan_files,
    sizes_of,
)


@dataclass(frozen=True)
class Damage:
    """Something that is missing or broken, and where: a partition of a table, and the data file if it is one.

    Where it is no file, `ids` are those of what is lost or registered twice: capture IDs, snapshot IDs, days, file IDs.
    """

    table: Table
    partition: str
    fault: str
    file: str | None = None
    ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        of = {"file_date": "file date ", "snapshot_id": "snapshot ", "event_date": "event date "}
        kind = of.get(self.table.partition_by[0], "") if self.table.partition_by else ""
        where = f", {kind}{self.partition}" if self.partition else ""
        return f"{self.table.name}{where}: {f'{self.file} ' if self.file else ''}{self.fault}"


def require_intact(tables: Tables) -> None:
    """Raise `DamagedError` if something that cannot be made again is missing or broken."""
    if damages := take_stock(tables):
        raise DamagedError(*map(str, damages))


def take_stock(tables: Tables) -> list[Damage]:
    """Compare what should be there with what is, by the logs and the sizes of the files; note what has come since.

    A byte that was changed is not noticed: `verify` does that.
    """
    with naming_damage(tables):
        damages = _look(tables)
        # Another process may have changed one of the tables after the other was read; what is damaged stays so.
        again = set(_look(tables)) if damages else set()
    return [damage for damage in damages if damage in again]


def _look(tables: Tables) -> list[Damage]:
    # The registries first, each before what it names: that was written before.
    used = tables.registry(AS_OF_DATES).select("as_of_date", "snapshot_id").drop_nulls("snapshot_id")
    noted = tables.registry(DATA_FILES)
    files = tables.read(EXPORT_FILES).sort("file_date", "key").collect()
    snapshots = {registry: tables.registry(registry) for registry in SNAPSHOTS}
    members = snapshots[MEMBER_SNAPSHOTS]
    registered = frozenset([*files["capture_id"].drop_nulls(), *members["snapshot_id"]])
    damages: list[Damage] = []
    new: list[pl.DataFrame] = []
    gone: list[str] = []
    # Those of the closed days last: rows are dropped after their day was closed.
    for table in (*CAPTURED_ROWS, *chain(*SNAPSHOTS.values()), *DAILY_TABLES):
        handle = tables.newest(table)
        there = files_of(handle)
        if table in DAILY_TABLES:
            there = there.join(_closed(tables), on=["event_date", "fingerprint"], how="semi")
        compared = _compared(handle, noted.filter(pl.col("table_name") == table.name), there)
        damages += compared.damages
        gone += compared.removed
        new.append(_notes(handle, compared.new, registered))
    noted = _note(tables, noted, gone, pl.concat(new))
    unheld = _unheld_captures(tables, noted, files)
    if unheld:
        # Some may be in files that were noted before the captures were registered.
        noted = _note_captures(tables, noted, {damage.partition for damage in unheld}, registered)
        unheld = _unheld_captures(tables, noted, files)
    damages += unheld
    for registry, taken in snapshots.items():
        damages += _unheld_snapshots(tables, SNAPSHOTS[registry][0], taken)
    damages += _unregistered(tables, noted, files, snapshots[RESOURCE_SNAPSHOTS], used)
    damages += _unregistered_members(noted, members)
    return sorted(damages, key=lambda damage: (ALL_TABLES.index(damage.table), damage.partition))


def verify(
    tables: Tables, among: Iterable[Table] = ALL_TABLES, column: str | None = None, values: Collection[object] = ()
) -> list[Damage]:
    """The data files whose bytes are not those that were written, of some tables; each is read as a whole.

    With `column` only those of the partitions named are. A file of an earlier version of the program does not say what
    its bytes were: of it only that its rows can be read is known.
    """
    damages = []
    with scratch_folder(tables.root / WORK_FOLDER) as scratch:
        for table in among:
            handle = tables.newest(table)
            files = files_of(handle, column, values)
            faults = tables.storage.damaged(table.name, sizes_of(files))
            for file in files.iter_slices(1):
                path = file["path"].item()
                fault = faults.get(path)
                if fault is None:
                    original = tables.storage.original(table.name, path, scratch)
                    written = named_digest(path)
                    if written is not None and file_digest(original) != written:
                        fault = "does not hold the bytes any more that were written"
                    elif written is None and not _is_readable(handle, file):
                        fault = "cannot be read"
                    if original.is_relative_to(scratch):
                        original.unlink()
                if fault is not None:
                    damages.append(Damage(table, _partition(table, file), fault, path))
    return damages


@contextmanager
def naming_damage(tables: Tables) -> Iterator[None]:
    """Inside, an error of a library at a broken data file becomes a `DamagedError` that names the file."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("duckdb", "_duckdb", "polars", "pyarrow"):
            raise
        if not (damages := verify(tables)):
            raise
        raise DamagedError(*map(str, damages)) from None


# --- Notes ----------------------------------------------------------------------------------------------------------


def _closed(tables: Tables) -> pl.DataFrame:
    """The registered event dates whose single views were dropped."""
    return tables.registry(EVENT_DATES).filter(pl.col("detail_dropped_at").is_not_null())


def _partition(table: Table, file: pl.DataFrame) -> str:
    return str(file[table.partition_by[0]].item()) if table.partition_by else ""


def _notes(handle: StoredTable, files: pl.DataFrame, registered: Collection[str]) -> pl.DataFrame:
    """The rows of `data_files` for data files. Of their captures those that are registered: only these are missed.

    A snapshot of the members is a capture too; of the resources, the as-of dates say which ones there were.
    """
    table = handle.table
    names_captures = table in (*CAPTURED_ROWS, *SNAPSHOTS[MEMBER_SNAPSHOTS])
    rows = [
        {
            "table_name": table.name,
            "partition": _partition(table, file),
            "file": file["path"].item(),
            "size_bytes": file["size_bytes"].item(),
            "rows": file["rows"].item(),
            "captures": _captures(handle, file, registered) if names_captures else None,
            "noted_at": datetime.now(UTC),
        }
        for file in files.iter_slices(1)
    ]
    return pl.DataFrame(rows, schema=DATA_FILES.schema)


def _captures(handle: StoredTable, file: pl.DataFrame, registered: Collection[str]) -> list[str]:
    if handle.table in CAPTURED_ROWS:
        found = set(scan_files(handle, file).select(pl.col("capture_id").unique()).collect()["capture_id"])
    else:
        found = {_partition(handle.table, file)}
    return sorted(found & set(registered))


def miss_no_longer(tables: Tables, snapshots: Collection[str]) -> None:
    """Note that some snapshots need not be registered any more; call it before they are taken from their registry."""
    handle = tables.open(DATA_FILES)
    _expect_no_more(handle, scan(handle).collect(), snapshots)


def _expect_no_more(handle: StoredTable, noted: pl.DataFrame, captures: Collection[str]) -> None:
    held = noted.filter(pl.col("captures").list.eval(pl.element().is_in(list(captures))).list.any())
    others = pl.element().filter(~pl.element().is_in(list(captures)))
    replace_rows(handle, "file", held["file"], held.with_columns(pl.col("captures").list.eval(others)))


def _note(tables: Tables, noted: pl.DataFrame, gone: Collection[str], new: pl.DataFrame) -> pl.DataFrame:
    """Bring `data_files` up to date, and return it; of two processes that do it at once either is right."""

    def replace() -> None:
        replace_rows(tables.open(DATA_FILES), "file", gone, new)

    if gone:
        retry_conflicts(replace)
    elif new.height:
        append_rows(tables.open(DATA_FILES), new)
    return pl.concat([noted.filter(~pl.col("file").is_in(gone)), new.select(noted.columns)])


def _note_captures(
    tables: Tables, noted: pl.DataFrame, file_dates: Collection[str], registered: Collection[str]
) -> pl.DataFrame:
    """Note the captures of some file dates again, and return `data_files`."""
    handle = tables.newest(NORMALIZED_IMPRESSIONS)
    there = files_of(handle, "file_date", file_dates)
    broken = handle.storage.damaged(handle.table.name, sizes_of(there))
    again = there.filter(pl.col("path").is_in(noted["file"].implode()) & ~pl.col("path").is_in(list(broken)))
    return _note(tables, noted, again["path"].to_list(), _notes(handle, again, registered))


# --- What is wrong --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Compared:
    """What came of a comparison: what is wrong, noted files that a commit has removed, and files to be noted."""

    damages: list[Damage]
    removed: Collection[str]
    new: pl.DataFrame


def _compared(handle: StoredTable, noted: pl.DataFrame, there: pl.DataFrame) -> _Compared:
    """Compare the noted data files of a table with those that its log has, and with what lies in its folder."""
    table, partition = handle.table, "".join(handle.table.partition_by[:1])
    expected = {file: rest for file, *rest in noted.select("file", "partition", "size_bytes", "rows").iter_rows()}
    found = {file: rest for file, *rest in there.select("path", partition, "size_bytes", "rows").iter_rows()}
    lost = expected.keys() - found.keys()
    removed = _removed(handle, lost) if lost else set()
    faults = dict.fromkeys(lost - removed, "is not in the table any more")
    for file, (_, *figures) in found.items():
        if file in expected and expected[file][1:] != figures:
            faults[file] = "is another one in the log than was written"
    faults |= handle.storage.damaged(table.name, sizes_of(there))
    new = found.keys() - expected.keys() - faults.keys()
    return _Compared(
        [Damage(table, str((expected.get(file) or found[file])[0]), fault, file) for file, fault in faults.items()],
        removed,
        there.filter(pl.col("path").is_in(new)),
    )


def _removed(handle: StoredTable, files: Collection[str]) -> set[str]:
    """Those of the files that a commit has removed, as its log says."""
    found = set[str]()
    for entry in handle.storage.log(handle.table.name):
        for line in entry.splitlines():
            if line.startswith(b'{"remove"') and (file := json.loads(line)["remove"]["path"]) in files:
                found.add(file)
        if len(found) == len(files):
            break
    return found


def _unheld_captures(tables: Tables, noted: pl.DataFrame, files: pl.DataFrame) -> list[Damage]:
    """The captures whose accepted rows are in no noted file, though not all of them were dropped."""
    closed = _closed(tables)["event_date"].to_list()
    held = noted.filter(pl.col("table_name") == NORMALIZED_IMPRESSIONS.name).select(pl.col("captures").explode())
    lost = files.filter(
        (pl.col("status") == "read")
        & (pl.col("accepted") > 0)
        & ~pl.col("capture_id").is_in(held["captures"].implode())
        & pl.col("event_dates").list.eval(~pl.element().is_in(closed)).list.any()
    )
    return [
        Damage(
            NORMALIZED_IMPRESSIONS,
            str(day),
            f"the rows of {of_day.height:,} export files are missing, for example those of {of_day['key'][0]}",
            ids=tuple(of_day["capture_id"].sort()),
        )
        for (day,), of_day in lost.group_by("file_date", maintain_order=True)
    ]


def _unheld_snapshots(tables: Tables, table: Table, snapshots: pl.DataFrame) -> list[Damage]:
    """The snapshots of which a table has fewer rows than were found, which their registry counts."""
    counts = [pl.col(name) for name, dtype in snapshots.schema.items() if dtype == pl.Int64]
    files = files_of(tables.newest(table))
    held = files.group_by("snapshot_id").agg(pl.col("rows").sum())
    fewer = snapshots.join(held, on="snapshot_id", how="left").filter(
        pl.col("rows").fill_null(0) < pl.sum_horizontal(counts)
    )
    return [
        Damage(
            table,
            snapshot_id,
            f"rows of the snapshot taken at {taken_at:%Y-%m-%d %H:%M} UTC are missing",
            ids=(snapshot_id,),
        )
        for snapshot_id, taken_at in fewer.select("snapshot_id", "taken_at").iter_rows()
    ]


def _unregistered(
    tables: Tables, noted: pl.DataFrame, files: pl.DataFrame, snapshots: pl.DataFrame, used: pl.DataFrame
) -> Iterator[Damage]:
    """What a registry does not name any more, or twice, though it was registered: something else knows of it."""
    twice = files.filter(pl.col("file_id").is_duplicated())
    if twice.height:
        yield Damage(
            EXPORT_FILES, "", f"{twice['key'][0]} is registered twice", ids=tuple(twice["file_id"].unique().sort())
        )
    lost = _captured_before(tables, noted, files)
    if lost.height:
        yield Damage(
            EXPORT_FILES,
            "",
            f"{lost.height:,} captured files are not registered any more, for example {lost['key'][0]}, file date "
            f"{lost['file_date'][0]}",
        )
    unknown = used.join(snapshots, on="snapshot_id", how="anti").sort("as_of_date")
    if unknown.height:
        yield Damage(
            RESOURCE_SNAPSHOTS,
            "",
            f"the snapshot of as-of date {unknown['as_of_date'][-1]} is not registered any more",
            ids=tuple(unknown["snapshot_id"].unique().sort()),
        )
    of_days = noted.filter(pl.col("table_name").is_in([table.name for table in DAILY_TABLES]))
    opened = set(of_days["partition"]) - {str(day) for day in _closed(tables)["event_date"]}
    for day in sorted(opened):
        fault = f"event date {day}, whose single views were dropped, is not registered any more"
        yield Damage(EVENT_DATES, "", fault, ids=(day,))


def _unregistered_members(noted: pl.DataFrame, members: pl.DataFrame) -> Iterator[Damage]:
    """The snapshots of the members that were registered when their rows were noted, and are not any more."""
    known = noted.filter(pl.col("table_name") == SIGMA_MEMBERS.name)["captures"].explode().drop_nulls().unique()
    lost = known.filter(~known.is_in(members["snapshot_id"].implode())).sort()
    if lost.len():
        fault = f"{lost.len():,} snapshots of {SIGMA_MEMBERS.name} are not registered any more"
        yield Damage(MEMBER_SNAPSHOTS, "", fault, ids=tuple(lost))


def captured_before(tables: Tables) -> frozenset[str]:
    """The IDs of those files of the manifest that are not registered any more, though rows of them are captured."""
    found = _captured_before(tables, tables.registry(DATA_FILES), tables.read(EXPORT_FILES).collect())
    return frozenset(found["file_id"])


def _captured_before(tables: Tables, noted: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    """`file_id`, `key` and `file_date` of the files that `captured_before` tells."""
    manifest = tables.newest(RAW_EXPORT_FILES)
    without = _unregistered_captures(noted, files)
    handle = tables.newest(NORMALIZED_IMPRESSIONS)
    rows = files_of(handle).join(without.select(path="file"), on="path", how="semi") if without.height else without
    if not rows.height:
        return RAW_EXPORT_FILES.no_rows().select("file_id", "key", "file_date")
    captured = scan_files(handle, rows).select(pl.col("file_id").unique()).collect()["file_id"]
    is_lost = pl.col("file_id").is_in(captured.implode()) & ~pl.col("file_id").is_in(files["file_id"].implode())
    return scan(manifest).filter(is_lost).unique("file_id").sort("file_date", "key").collect()


def _unregistered_captures(noted: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    """The notes of accepted rows, a row for each capture, of those that are not registered any more."""
    of_rows = noted.filter(pl.col("table_name") == NORMALIZED_IMPRESSIONS.name).explode("captures")
    return of_rows.join(files.select(captures="capture_id"), on="captures", how="anti")


def forget_unregistered(tables: Tables) -> None:
    """Expect nothing of captures that are not registered: their files are taken for ones that were never read."""
    handle = tables.open(DATA_FILES)
    noted, files = scan(handle).collect(), tables.read(EXPORT_FILES).collect()
    _expect_no_more(handle, noted, _unregistered_captures(noted, files)["captures"].drop_nulls().to_list())


def _is_readable(handle: StoredTable, file: pl.DataFrame) -> bool:
    try:
        for _ in scan_files(handle, file).collect_batches():
            pass
    except pl.exceptions.PolarsError:
        return False
    return True
