"""Which export files a bucket holds for given file dates, and what else lies there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date

from sigma_impressions.exports.file_dates import file_date
from sigma_impressions.exports.objects import StoredObject, is_export_key


@dataclass(frozen=True)
class ExportFile:
    """An object that Sigma wrote, at one version, and the file date it belongs to."""

    object: StoredObject
    file_date: date

    @property
    def file_id(self) -> str:
        """Identity of the export file: a digest of its key and version (spec, "export file")."""
        identity = f"{self.object.key}\0{self.object.version}"
        return hashlib.sha256(identity.encode()).hexdigest()[:32]


@dataclass
class Listing:
    """What one listing of the prefix has shown.

    `files` are the export files of the file dates asked for, `other_days` the IDs of those of other file dates;
    `ignored` and `undated` are keys that are no export and keys that `file_date_pattern` did not match.
    """

    files: list[ExportFile] = field(default_factory=list)
    other_days: set[str] = field(default_factory=set)
    ignored: list[str] = field(default_factory=list)
    undated: list[str] = field(default_factory=list)


def sort_out(objects: Iterable[StoredObject], days: Collection[date], pattern: re.Pattern[str] | None) -> Listing:
    """Sort listed objects into export files of `days`, of other days, and ignored ones."""
    listing = Listing()
    for item in objects:
        if not is_export_key(item.key):
            listing.ignored.append(item.key)
            continue
        day, fell_back = file_date(item, pattern)
        if fell_back:
            listing.undated.append(item.key)
        file = ExportFile(item, day)
        if day in days:
            listing.files.append(file)
        else:
            listing.other_days.add(file.file_id)
    return listing
