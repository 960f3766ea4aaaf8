"""Write what was computed of some days: the derived tables, then the registry that says what they hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date

import polars as pl

from sigma_impressions.lake.commits import replace_rows
from sigma_impressions.lake.tables import StoredTable


@contextmanager
def write_behind() -> Iterator[Callable[[Callable[[], None]], None]]:
    """A function that lets something be written while its caller goes on, one thing after the other.

    What could not be written is raised by its next call, or at the end.
    """
    with ThreadPoolExecutor(1) as pool:
        last: Future[None] | None = None

        def begin(write: Callable[[], None]) -> None:
            nonlocal last
            if last is not None:
                last.result()
            last = pool.submit(write)

        yield begin
        if last is not None:
            last.result()


def replace_days(
    handles: Sequence[StoredTable], column: str, days: Collection[date], rows: Mapping[str, pl.DataFrame]
) -> None:
    """Replace the rows of these days in each table; `rows` are the new ones, by the table's name.

    The last handle is the registry, which is written after the others: what it says is there is there. The one
    before it is written first: of runs over the same days only the one that gets it goes on. The others are written
    side by side.

    Raises `CommitFailedError` when another process has touched those rows since the handles were opened.
    """

    def write(handle: StoredTable) -> None:
        replace_rows(handle, column, days, rows[handle.table.name])

    *others, ticket, registry = handles
    write(ticket)
    with ThreadPoolExecutor(len(others)) as pool:
        list(pool.map(write, others))  # which raises what one of them has raised
    write(registry)
