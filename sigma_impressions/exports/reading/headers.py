"""What the header line of an export file says: which of its columns hold what."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.users import without_address

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "request_time": ("timestamp", "event_time", "event_timestamp", "viewed_at", "time"),
    "user_email": ("email", "actor_email", "viewer_email", "user"),
    "workbook_url_id": ("url_id", "workbook_id", "workbook_url", "workbook"),
    "element_id": ("node_id", "workbook_element_id"),
    "count": ("impressions", "impression_count", "views", "view_count"),
    "event_id": ("audit_log_id", "request_id"),
    "event_status": (),
    "event_type": ("event_name",),
}
"""The columns that are read, each with the header names also accepted for it, in order of precedence
(docs/sigma-export.md, "Columns"). Behind those of `count` comes `count of …`: `is_count_of`."""

REQUIRED_COLUMNS = ("request_time", "user_email", "workbook_url_id")

COLUMN_LIMIT = 1_000
"""Columns a file may have; Sigma's audit log has a few dozen."""

WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode White_Space. `str.strip()` alone also takes U+001C to U+001F, which are none."""

_ALIASES_SETTING = "SIGMA_IMPRESSIONS_HEADER_ALIASES"

_LIKELY_WORDS: Mapping[str, tuple[str, ...]] = {
    "request_time": (
        *("time", "zeit", "heure", "hora", "tijd", "tempo", "date", "datum", "fecha", "data", "created", "occurred"),
        *("viewed", "opened", "when", "clock"),
    ),
    "user_email": (
        *("mail", "login", "user", "viewer", "actor", "nutzer", "usuario", "utilisateur", "utente", "member"),
        *("person", "account", "principal", "who"),
    ),
    "workbook_url_id": (
        *("workbook", "arbeitsmappe", "classeur", "libro", "dashboard", "document", "dokument", "url", "link"),
        *("report", "bericht", "doc"),
    ),
    "event_type": ("type", "typ", "tipo", "event", "action", "aktion", "activity", "operation"),
}
"""What a header cell may hold that was meant for a required column, the likeliest first."""


@dataclass(frozen=True)
class Header:
    """The header of one file: `positions` maps columns to field positions, counted from 0.

    Columns the file does not have are not in `positions`. `unused_columns` are the header cells nothing is
    read from, as they are written in the file. `warnings` are sentences about columns that could have been meant
    and are not read. If `ends_in_delimiter`, a complete row has one field more than the header has cells.
    """

    delimiter: str
    width: int
    positions: Mapping[str, int]
    unused_columns: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    ends_in_delimiter: bool = False

    @property
    def fields(self) -> int:
        """How many fields a complete row has."""
        return self.width + self.ends_in_delimiter


def normalize_name(cell: str) -> str:
    """The name under which a header cell is compared: `" Request Time "` and `requestTime` are `requesttime`."""
    return re.sub(r"[^0-9a-z]+", "", cell.casefold())


def is_count_of(cell: str) -> bool:
    """Whether a header cell is what Sigma calls the aggregate of a table: `Count of Request Id`.

    `Count of Distinct …` stands for something else than a number of views.
    """
    words = re.findall(r"[0-9a-z]+", cell.casefold())
    return words[:2] == ["count", "of"] and "distinct" not in words


def read_header(
    cells: Sequence[str], delimiter: str, extra_aliases: Mapping[str, Sequence[str]], *, needs_event_type: bool = False
) -> Header:
    """Find the columns in the cells of a header line.

    `extra_aliases` holds more header names per column, compared like the built-in ones; they come directly behind
    the exact name of the column.

    Raises RefusedFile: "too many columns", "ambiguous header", "missing required column".
    """
    if len(cells) > COLUMN_LIMIT:
        raise RefusedFile(
            "too many columns",
            f"The header line has {len(cells):,} columns, more than the {COLUMN_LIMIT:,} that are accepted; export "
            f"only the columns that are needed: {', '.join(COLUMNS)}.",
        )
    required = (*REQUIRED_COLUMNS, "event_type") if needs_event_type else REQUIRED_COLUMNS
    names = [normalize_name(cell) for cell in cells]
    named = {column: _positions(names, column, extra_aliases.get(column, ())) for column in COLUMNS}
    counts_of = [i for i, name in enumerate(names) if name.startswith("countof") and is_count_of(cells[i])]
    if not named["count"] and len(counts_of) == 1:
        named["count"], counts_of = [counts_of], []
    positions: dict[str, int] = {}
    warnings: list[str] = []
    for column, found in named.items():
        if found and len(found[0]) > 1:
            raise _ambiguous(column, cells, found[0])
        if found:
            ((at,), *later) = found
            positions[column] = at
            ignored = sorted({i for more in (*later, counts_of if column == "count" else ()) for i in more} - {at})
            if ignored:
                warnings.append(_ignored(column, cells[at], [cells[i] for i in ignored]))
        elif column in required:
            missing = [name for name in required if not named[name]]
            raise RefusedFile("missing required column", _missing(cells, missing, extra_aliases))
    if counts_of and not named["count"]:
        warnings.append(_undecided("count", [cells[i] for i in counts_of], extra_aliases))
    used = set(positions.values())
    unused = tuple(without_address(cell.strip(WHITE_SPACE)) for i, cell in enumerate(cells) if i not in used)
    return Header(delimiter, len(cells), positions, unused, tuple(warnings))


def _positions(names: Sequence[str], column: str, extra_aliases: Sequence[str]) -> list[list[int]]:
    """For each name of a column that the header has, in order of precedence: where it stands."""
    accepted = _accepted_names(column, tuple(extra_aliases))
    return [[i for i, name in enumerate(names) if name == one] for one in accepted if one in names]


@lru_cache
def _accepted_names(column: str, extra_aliases: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(normalize_name, (column, *extra_aliases, *COLUMNS[column]))))


def _ignored(column: str, taken: str, ignored: Sequence[str]) -> str:
    others = _joined([_quoted(cell) for cell in ignored])
    return (
        f"{column} is read from the column {_quoted(taken)}, not from {others}, which could be meant too; leave out "
        f"what is not meant, or name the right one exactly {column}"
    )


def _undecided(column: str, cells: Sequence[str], extra_aliases: Mapping[str, Sequence[str]]) -> str:
    return (
        f"no {column} is read, since it could be any of the columns {_joined([_quoted(cell) for cell in cells])}, "
        f"and every row counts once; name the right one: {_aliases_line({column: _plain(cells[0])}, extra_aliases)}"
    )


def _ambiguous(column: str, cells: Sequence[str], at: Sequence[int]) -> RefusedFile:
    both = _joined([f"{_quoted(cells[i])} (column {i + 1})" for i in at])
    return RefusedFile(
        "ambiguous header",
        f"The header cells {both} both stand for {column}; rename or drop one of them, or name one of them "
        f"exactly {column}.",
    )


def _missing(cells: Sequence[str], missing: Sequence[str], extra_aliases: Mapping[str, Sequence[str]]) -> str:
    """What is wrong with a header that lacks some columns, and what to do about it."""
    said = f"No header cell stands for {', '.join(missing)}; the header line has {_shown(cells)}."
    other = other_format(cells[0])
    if other:
        return f"{said} {other}"
    if _is_row(cells):
        return f"{said} Export it with a header line: the names of the columns come first."
    if any(re.search(r"[\x00-\x08\x0e-\x1f\x7f\ufffd]", cell) for cell in cells):
        return (
            f"{said} It holds what no text holds, so it may be packed or in another format than CSV: export it again "
            "as CSV, compressed with gzip or not at all."
        )
    owners = owners_of_names(extra_aliases)
    names = [normalize_name(cell) for cell in cells]
    free = [
        cell for cell, name in zip(cells, names, strict=True) if name and name not in owners and names.count(name) == 1
    ]
    return (
        f"{said} Add the column to the export, or name the header that stands for it: "
        f"{_aliases_line(_likely(missing, free), extra_aliases)}"
    )


def other_format(text: str) -> str | None:
    """A sentence about a text that begins as JSON, HTML or XML does; None if it does not."""
    for form, beginning in _OTHER_FORMATS.items():
        if re.match(beginning, text.lstrip(WHITE_SPACE), re.IGNORECASE):
            return (
                f"The text begins as {form} does: if it is no CSV file, choose CSV as the format of the export; "
                "an error page in place of the export is mended where the file is written."
            )
    return None


_OTHER_FORMATS = {
    "HTML": r"<!doctype html|<html|<head|<body",
    "XML": r"<[?!/a-z]",
    "JSON": r"""[\[{]\s*(?:["\[{\]}]|\Z)""",
}


def is_of_header(warning: str) -> bool:
    """Whether a warning of a file is one of `Header.warnings`."""
    return re.match(rf"(?:no )?(?:{'|'.join(COLUMNS)}) is read", warning) is not None


def likely_columns(unused: Sequence[str]) -> str:
    """Those of the unused columns whose names are nearly those of columns that are read, in words; empty if none is."""
    owners = owners_of_names({})
    found = []
    for cell in unused:
        near = difflib.get_close_matches(normalize_name(cell), owners, n=1, cutoff=_NEARLY)
        if near:
            found.append(f"{_quoted(cell)}, which looks like {owners[near[0]]}")
    return "; ".join(found)


_NEARLY = 0.85
"""How alike two names are, of 1, from which one looks like the other: one letter of seven may differ."""


def _likely(columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """For each of the columns the name of the cell that was likely meant for it, or what to write there."""
    left = list(cells)
    found = {}
    for column in columns:
        cell = next((cell for word in _LIKELY_WORDS[column] for cell in left if word in cell.casefold()), None)
        found[column] = "<header>" if cell is None else _plain(cell)
        if cell is not None:
            left.remove(cell)
    return found


def _plain(cell: str) -> str:
    """A cell as an alias is written: a comma would end it; all but letters and digits does not count there."""
    return re.sub(r"[^\w-]+", " ", without_address(cell)[:_SHOWN]).strip()


def _aliases_line(more: Mapping[str, str], extra_aliases: Mapping[str, Sequence[str]]) -> str:
    """A line for `.env` that adds some aliases to those that are set."""
    pairs = [(column, name) for column, names in extra_aliases.items() for name in names]
    pairs += more.items()
    value = ",".join(f"{column}={name}" for column, name in pairs)
    return f"{_ALIASES_SETTING}='{value}'" if re.search(r"[^\w=,.-]", value) else f"{_ALIASES_SETTING}={value}"


def owners_of_names(extra_aliases: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The columns by the names, as they are compared, that stand for them."""
    return {
        normalize_name(name): column
        for column, aliases in COLUMNS.items()
        for name in (column, *extra_aliases.get(column, ()), *aliases)
    }


_SHOWN = 60
"""Characters of a header cell that a message shows."""


def _quoted(cell: str) -> str:
    return repr(without_address(cell.strip(WHITE_SPACE))[:_SHOWN])


def _joined(texts: Sequence[str]) -> str:
    return " and ".join(texts) if len(texts) < 3 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _is_row(cells: Sequence[str]) -> bool:
    """Whether the cells look like values: a file without a header line."""
    return any(re.match(r"[0-9]|[^@]+@", cell.strip(WHITE_SPACE)) for cell in cells)


def _shown(cells: Sequence[str], most: int = 20) -> str:
    """The first cells of a header, cut so that a message stays readable.

    Without a header line the first row stands in its place. Of a row only the shape is shown: who is in it is
    nothing for a message.
    """
    is_row = _is_row(cells)
    trimmed = [cell.strip(WHITE_SPACE) for cell in cells[:most]]
    shown = ", ".join(repr((_shape(cell) if is_row else without_address(cell))[:_SHOWN]) for cell in trimmed)
    more = "" if len(cells) <= most else f" and {len(cells) - most:,} more"
    return f"{shown}{more}{', which looks like a row (x is a letter, 0 a digit)' if is_row else ''}"


def _shape(text: str) -> str:
    """As `users.shape_of`, for one text."""
    return re.sub(r"[0-9]", "0", re.sub(r"[^\W\d_]", "x", text))
