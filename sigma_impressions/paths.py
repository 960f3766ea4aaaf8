"""What paths of this machine, and prefixes of buckets, may hold: what all libraries express that work there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

_Faults = dict[str, str]
"""By a pattern of what must not be there, the rest of a sentence about the path; `{found}` is what was found."""

_ANYWHERE: _Faults = {
    r"[\ud800-\udfff]": "holds bytes that are no UTF-8",
    r"[\x00-\x1f\x7f-\x9f]": "holds the control character U+{code:04X}",
    r"\\": "holds a backslash ({found}), which DuckDB and Delta Lake take for a slash",
}
_OF_TABLES: _Faults = {
    "%[0-9A-Fa-f]{2}": "holds {found}, which Delta Lake takes for {meant!r}",
    "(?<![^/])_delta_log(?![^/])": "holds {found}, where Delta Lake expects the log of a table",
}
_OF_DAGSTER: _Faults = {
    r"\?": "holds a question mark ({found}), behind which Dagster's databases expect options",
    "%[0-9A-Fa-f]{2}": "holds {found}, which Dagster takes for {meant!r}",
}
_OF_BUCKETS: _Faults = {
    "[?#]": "holds {found}, behind which a URL has no path any more",
    "[&<>'\"]": "holds {found}, which stores do not all list as it is",
    r"(?<![^/])\.{0,2}(?![^/])": "has an empty part, or one of dots alone, which a URL leaves out",
}


def fault_of_path(path: Path, *, of_tables: bool = False) -> str | None:
    """Why nothing can be kept at a path, as the rest of a sentence about it; None if there is no reason.

    With `of_tables` Delta Lake tables are to lie there.
    """
    # Delta Lake follows links before it writes the path as a URL.
    text = str(path.resolve() if of_tables else path)
    return _first(text, _ANYWHERE | (_OF_TABLES if of_tables else {}))


def fault_of_dagster_home(folder: Path) -> str | None:
    """Why Dagster cannot keep its records in a folder; None if it can."""
    return _first(str(folder), _ANYWHERE | _OF_DAGSTER)


def fault_of_prefix(prefix: str) -> str | None:
    """Why no tables can be kept under a prefix of a bucket, without slashes around it; None if they can."""
    return _first(prefix, _ANYWHERE | _OF_TABLES | _OF_BUCKETS) if prefix else None


def _first(text: str, faults: _Faults) -> str | None:
    for pattern, fault in faults.items():
        if match := re.search(pattern, text):
            found = match[0]
            described = fault.format(found=found, code=ord(found[0]) if found else 0, meant=unquote(found))
            return f"{described}. Use one that has none of that, not {text!r}"
    return None
