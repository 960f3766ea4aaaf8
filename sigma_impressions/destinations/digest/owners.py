"""A file for every owner of workbooks, with what nobody opens of them, and a table of the owners for a mail merge."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from sigma_impressions.destinations import QUERIES
from sigma_impressions.destinations.files import write_csv
from sigma_impressions.insights.thresholds import YOUNG_DAYS
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.scratch import put_in_place, remove_work_folder, scratch_folder
from sigma_impressions.owner_only import for_owner_only
from sigma_impressions.report.read import connected
from sigma_impressions.texts import HTTP_URL, VALUE, unlinked, value
from sigma_impressions.users import canonical
from sigma_impressions.windows import LONGEST_WINDOW

INDEX_NAME: Final = "owners.csv"

NO_OWNER: Final = "no-owner.txt"
"""The file with the workbooks that have no owner; the table of owners does not name it, as nobody can be written to."""

NAMED: Final = 20
"""Workbooks that nobody opens and that the table of owners names of each at most; a cell holds only so much."""

_READABLE, _DIGITS = 40, 12
"""Characters of the name of a file that tell a reader whose it is, and those that tell any two owners apart."""

_OWN_FILE: Final = re.compile(rf"owner-(?:[a-z0-9-]+-)?[0-9a-f]{{{_DIGITS}}}\.txt|{re.escape(NO_OWNER)}")


@dataclass(frozen=True)
class OwnerFiles:
    """What was written: the table of owners, how many owners and workbooks there are, and how many without an owner.

    `removed` files of an earlier export are gone, as their owners have no workbook any more.
    """

    index: Path
    owners: int
    workbooks: int
    without_owner: int
    removed: int


def export_owners(database: Path, folder: Path) -> OwnerFiles:
    """Write the file of each owner to `folder`, then the table that names them; then remove those of earlier exports
    that are no more. Raises `OSError` if the folder cannot be written, and `ReportError`.
    """
    with for_owner_only(), connected(database, writing_to=folder) as connection:
        folder.mkdir(parents=True, exist_ok=True)
        owners = QUERIES.frame(connection, "owners")
        workbooks = QUERIES.frame(connection, "workbooks_of_owners")
        # As the owners are in their own table.
        workbooks = workbooks.with_columns(canonical(workbooks["owner_email"]))
        by_owner = {owner: of_owner for (owner,), of_owner in workbooks.group_by("owner_email", maintain_order=True)}
        # Each is in one piece in its place, without a look at all the others.
        with scratch_folder(folder) as scratch:
            for row in owners.iter_rows(named=True):
                name = file_name(row["owner_email"])
                text = "\n".join([*_text(row, by_owner[row["owner_email"]]), ""])
                (scratch / name).write_text(text, encoding="utf-8")
                put_in_place(scratch / name, folder / name)
        named = owners.filter(pl.col("owner_email").is_not_null())
        index = named.with_columns(
            _texts("unused_names", [_unused_names(by_owner[owner]) for owner in named["owner_email"]]),
            _texts("file", [file_name(owner) for owner in named["owner_email"]]),
        )
        connection.register("owners_with_files", index.to_arrow())
        write_csv(connection, "owners_with_files", folder / INDEX_NAME)
        remove_work_folder(folder)
    return OwnerFiles(
        folder / INDEX_NAME,
        index.height,
        workbooks.height,
        by_owner[None].height if None in by_owner else 0,
        _remove_others(folder, {file_name(owner) for owner in by_owner}),
    )


def _texts(name: str, values: list[str]) -> pl.Series:
    return pl.Series(name, values, pl.String)


def file_name(owner: str | None) -> str:
    """The name of the file of an owner: the same for the same owner, safe whatever that is called."""
    if owner is None:
        return NO_OWNER
    readable = re.sub(r"[^a-z0-9]+", "-", owner)[:_READABLE].strip("-")
    return f"{'-'.join(filter(None, ['owner', readable, digest([owner], _DIGITS)]))}.txt"


def _remove_others(folder: Path, written: set[str]) -> int:
    """Remove what an earlier export has left of owners who have no workbook any more; how many files."""
    others = [path for path in folder.iterdir() if _OWN_FILE.fullmatch(path.name) and path.name not in written]
    for path in others:
        path.unlink(missing_ok=True)
    return len(others)


def _unused(workbooks: pl.DataFrame) -> pl.DataFrame:
    return workbooks.filter(pl.col("impressions_60d") == 0)


def _unused_names(workbooks: pl.DataFrame) -> str:
    """The names of those that nobody opens, one a line, as a cell of the table holds them."""
    names = [value(name) for name in _unused(workbooks)["name"]]
    more = len(names) - NAMED
    return "\n".join([*names[:NAMED], *([f"and {more:,} more"] if more > 0 else [])])


def _text(owner: dict[str, Any], workbooks: pl.DataFrame) -> Iterator[str]:
    yield f"{_whose(owner)}, as of {owner['as_of_date']}"
    yield ""
    used, unused = owner["used_workbooks_60d"], owner["unused_workbooks_60d"]
    opened = f"Opened in the last {LONGEST_WINDOW} days: {used:,}. Opened by nobody: {unused:,}"
    yield f"Workbooks: {owner['workbooks']:,}. {opened}."
    for heading, rows in (
        ("Opened by nobody", _unused(workbooks)),
        ("Opened, the most viewed first", workbooks.filter(pl.col("impressions_60d") > 0)),
    ):
        if rows.height:
            yield from ("", f"{heading}:")
        for workbook in rows.iter_rows(named=True):
            yield ""
            yield from _workbook(workbook)


def _whose(owner: dict[str, Any]) -> str:
    if owner["owner_email"] is None:
        return "Sigma workbooks without an owner"
    name = f" ({_shown(owner['owner_name'])})" if owner["owner_name"] else ""
    return f"Sigma workbooks of {_shown(owner['owner_email'])}{name}"


def _workbook(workbook: dict[str, Any]) -> Iterator[str]:
    """A workbook: its name, where it is, its usage and its address, each in a line of its own."""
    yield f"- {_shown(workbook['name'])}"
    if workbook["path"]:
        yield f"  in {_shown(workbook['path'])}"
    yield f"  {_usage(workbook)}"
    if _is_address(workbook["url"]):
        yield f"  {workbook['url']}"


def _usage(workbook: dict[str, Any]) -> str:
    views, viewers = workbook["impressions_60d"], workbook["viewers_60d"]
    if not views:
        return workbook["reason"] or f"Nobody has viewed it yet; it is younger than {YOUNG_DAYS} days."
    people = f" by {viewers:,} {'person' if viewers == 1 else 'people'}" if viewers else ""
    return (
        f"{views:,} view{'' if views == 1 else 's'} in the last {LONGEST_WINDOW} days{people}, "
        f"the last on {workbook['last_viewed']}."
    )


def _shown(name: str) -> str:
    return unlinked(name, VALUE)


def _is_address(url: str | None) -> bool:
    """Whether a URL may become a link: mail programs make one of it."""
    return url is not None and re.match(HTTP_URL, url) is not None and url.isprintable() and " " not in url
