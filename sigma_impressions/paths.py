"""What paths of this machine may hold, as far as the libraries can express it that read and write there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

_NOWHERE = {
    r"[\ud800-\udfff]": "holds bytes that are no UTF-8",
    r"[\x00-\x1f\x7f-\x9f]": "holds the control character U+{0:04X}",
    r"\\": r"holds a backslash (\), which DuckDB and Delta Lake take for a slash",
}
"""What no path may hold, by a pattern of it."""


def fault_of_path(path: Path, *, of_tables: bool = False) -> str | None:
    """Why nothing can be kept at a path, as the rest of a sentence about it; None if all libraries express it.

    With `of_tables` Delta Lake tables are to lie there.
    """
    # Delta Lake follows links before it writes the path as a URL.
    text = str(path.resolve() if of_tables else path)
    for pattern, fault in _NOWHERE.items():
        if found := re.search(pattern, text):
            return f"{fault.format(ord(found[0]))}. {_advice(text)}"
    return _percent(text, "Delta Lake") if of_tables else None


def fault_of_dagster_home(folder: Path) -> str | None:
    """Why Dagster cannot keep its records in a folder; None if it can."""
    text = str(folder)
    if "?" in text:
        return f"holds a question mark (?), behind which Dagster's databases expect options. {_advice(text)}"
    return fault_of_path(folder) or _percent(text, "Dagster")


def _percent(text: str, library: str) -> str | None:
    found = re.search("%[0-9A-Fa-f]{2}", text)
    if found is None:
        return None
    return f"holds {found[0]}, which {library} takes for {unquote(found[0])!r}. {_advice(text)}"


def _advice(text: str) -> str:
    return f"Use a folder whose path has none of that, not {text!r}"
