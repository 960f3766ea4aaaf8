"""What the header line of an export file says: its delimiter and which of its columns hold what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sigma_impressions.exports.reading.refused import RefusedFile

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "request_time": (
        "requesttime",
        "timestamp",
        "event_time",
        "event_timestamp",
        "created_at",
        "viewed_at",
        "time",
    ),
    "user_email": ("useremail", "email", "user", "actor_email", "viewer_email"),
    "workbook_url_id": (
        "workbookurlid",
        "workbook_urlid",
        "url_id",
        "workbook_id",
        "workbook_url",
        "workbook",
    ),
    "element_id": ("elementid", "node_id", "workbook_element_id"),
    "count": ("impressions", "impression_count", "views", "view_count"),
    "event_id": ("request_id", "audit_log_id"),
    "event_status": ("status",),
}
"""The columns that are read, each with the header names also accepted for it (docs/sigma-export.md, "Columns")."""

REQUIRED_COLUMNS = ("request_time", "user_email", "workbook_url_id")

COLUMN_LIMIT = 1_000
"""Columns a file may have; Sigma's audit log has a few dozen."""

DELIMITERS = ",;\t|"
"""The delimiters that are recognised; the first wins a tie."""

WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode White_Space. `str.strip()` alone also takes U+001C to U+001F, which are none."""


@dataclass(frozen=True)
class Header:
    """The header of one file: `positions` maps columns to field positions, counted from 0.

    Columns the file does not have are not in `positions`. `unused_columns` are the header cells nothing is
    read from, as they are written in the file.
    """

    delimiter: str
    width: int
    positions: Mapping[str, int]
    unused_columns: tuple[str, ...]


def detect_delimiter(line: str) -> str:
    """The delimiter that occurs most often in the header line outside quotes; comma on a tie with comma."""
    outside_quotes = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=outside_quotes.count)  # max() keeps the first of equals


def normalize_name(cell: str) -> str:
    """The name under which a header cell is compared: `" Request Time "` becomes `request_time`."""
    return re.sub(r"[^0-9a-z]+", "_", cell.casefold()).strip("_")


def read_header(cells: Sequence[str], delimiter: str, extra_aliases: Mapping[str, Sequence[str]]) -> Header:
    """Find the columns in the cells of a header line.

    `extra_aliases` holds more header names per column, compared like the built-in ones. The exact name of a
    column wins over its aliases.

    Raises RefusedFile: "too many columns", "ambiguous header", "missing required column".
    """
    if len(cells) > COLUMN_LIMIT:
        raise RefusedFile(
            "too many columns",
            f"The header line has {len(cells):,} columns, more than the {COLUMN_LIMIT:,} that are accepted; export "
            f"only the columns that are needed: {', '.join(COLUMNS)}.",
        )
    names = [normalize_name(cell) for cell in cells]
    found = {
        column: _positions(names, column, (*aliases, *map(normalize_name, extra_aliases.get(column, ()))))
        for column, aliases in COLUMNS.items()
    }
    missing = [column for column in REQUIRED_COLUMNS if not found[column]]
    for column, at in found.items():
        if len(at) > 1:
            both = " and ".join(f"{cells[i].strip(WHITE_SPACE)!r} (column {i + 1})" for i in at)
            raise RefusedFile(
                "ambiguous header",
                f"The header cells {both} both stand for {column}; rename or drop one of them, or name one of them "
                f"exactly {column}.",
            )
        if not at and column in REQUIRED_COLUMNS:
            raise RefusedFile(
                "missing required column",
                f"No header cell stands for {', '.join(missing)}; the header line has {_shown(cells)}. Add the "
                "column to the export, or name its header in SIGMA_IMPRESSIONS_HEADER_ALIASES.",
            )
    positions = {column: at[0] for column, at in found.items() if at}
    used = set(positions.values())
    unused = tuple(cell.strip(WHITE_SPACE) for i, cell in enumerate(cells) if i not in used)
    return Header(delimiter, len(cells), positions, unused)


def _positions(names: Sequence[str], column: str, aliases: Sequence[str]) -> list[int]:
    exact = [i for i, name in enumerate(names) if name == column]
    return exact or [i for i, name in enumerate(names) if name in aliases]


def _shown(cells: Sequence[str], most: int = 20) -> str:
    """The first cells of a header, cut so that a message stays readable.

    Without a header line the first row stands in its place. Of a row only the shape is shown: who is in it is
    nothing for a message.
    """
    trimmed = [cell.strip(WHITE_SPACE) for cell in cells]
    is_row = any(re.match(r"[0-9]|[^@]+@", cell) for cell in trimmed)
    shown = ", ".join(repr(_shape(cell[:60]) if is_row else cell[:60]) for cell in trimmed[:most])
    more = "" if len(cells) <= most else f" and {len(cells) - most:,} more"
    return f"{shown}{more}{', which looks like a row (x is a letter, 0 a digit)' if is_row else ''}"


def _shape(text: str) -> str:
    """As `users.shape_of`, for one text."""
    return re.sub(r"[0-9]", "0", re.sub(r"[^\W\d_]", "x", text))
