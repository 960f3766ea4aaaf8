"""A storage that was written long ago."""

from __future__ import annotations

import os
import re
from pathlib import Path


def age(root: Path, days: int) -> None:
    """Make everything in the tables' folders older, as if it had been written days ago."""
    milliseconds = days * 86_400_000
    for path in list(root.rglob("*")):
        if "checkpoint" in path.name:
            path.unlink()  # It repeats what the log says, with the times of before.
        elif path.suffix == ".json" and path.parent.name == "_delta_log":
            text = re.sub(
                r'("(?:modificationTime|deletionTimestamp|timestamp)":)(\d{13})',
                lambda found: f"{found[1]}{int(found[2]) - milliseconds}",
                path.read_text(),
            )
            path.write_text(text)
        if path.is_file():
            when = path.stat().st_mtime - days * 86_400
            os.utime(path, (when, when))
