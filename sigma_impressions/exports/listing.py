"""Which export files a bucket holds, for given file dates or for all, and what else lies there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sigma_impressions.clouds.objects import StoredObject
from sigma_impressions.exports.file_dates import KeyPattern, file_date
from sigma_impressions.lake.digests import digest


@dataclass(frozen=True)
class ExportFile:
    """An object that Sigma wrote, at one version, and the file date it belongs to."""

    object: StoredObject
    file_date: date

    @property
    def file_id(self) -> str:
        """Identity of the export file: a digest of its key and version (docs/tables-and-metrics.md, "Words")."""
        return file_id(self.object)


def is_export_key(key: str) -> bool:
    """Whether the key can be an export file: it ends in `.csv` or `.csv.gz`, in any case."""
    return key.lower().endswith((".csv", ".csv.gz"))


def file_id(item: StoredObject) -> str:
    """The ID of the export file that an object is at its version."""
    return digest([f"{item.key}\0{item.version}"], 32)


def dated(
    objects: Iterable[StoredObject], pattern: KeyPattern | None
) -> Iterator[tuple[StoredObject, date | None, bool]]:
    """Each listed object with its file date, None if it is no export, and whether `pattern` was to give it in vain."""
    for item in objects:
        yield (item, *file_date(item, pattern)) if is_export_key(item.key) else (item, None, False)


@dataclass
class Listing:
    """What one listing of the prefix has shown.

    `files` are the export files of the file dates asked for, `other_days` the IDs of those of other file dates;
    `ignored` and `undated` are keys that are no export and keys that `file_date_pattern` did not match. `last_day` is
    the last file date of all, `written_at` the last time that one was written.
    """

    files: list[ExportFile] = field(default_factory=list)
    other_days: set[str] = field(default_factory=set)
    ignored: list[str] = field(default_factory=list)
    undated: list[str] = field(default_factory=list)
    last_day: date | None = None
    written_at: datetime | None = None


def sort_out(objects: Iterable[StoredObject], days: Collection[date], pattern: KeyPattern | None) -> Listing:
    """Sort listed objects into export files of `days`, of other days, and ignored ones."""
    listing = Listing()
    for item, day, is_undated in dated(objects, pattern):
        if is_undated:
            listing.undated.append(item.key)
        if day is None:
            listing.ignored.append(item.key)
            continue
        listing.last_day = max(day, listing.last_day or day)
        listing.written_at = max(item.last_modified, listing.written_at or item.last_modified)
        if day in days:
            listing.files.append(ExportFile(item, day))
        else:
            listing.other_days.add(file_id(item))
    return listing


def newest_written(objects: Iterable[StoredObject]) -> datetime | None:
    """When the last export file of a listing was written, by the clock of the store."""
    return max((item.last_modified for item in objects if is_export_key(item.key)), default=None)


def not_yet_read(last_day: date | None, today: date) -> str | None:
    """What to say if there are export files of a day that has not come, which no run reads before; else None."""
    # In some time zones a day begins half a day earlier than in UTC, and a key may hold their date.
    if last_day is None or last_day <= today + timedelta(days=1):
        return None
    return (
        f"There are export files of {last_day}, and today is {today} (UTC): they are not read before that day. Is the "
        "clock of this machine behind, that of the store ahead, or SIGMA_IMPRESSIONS_FILE_DATE_PATTERN wrong?"
    )


@dataclass(frozen=True)
class Survey:
    """The IDs of all listed export files by file date, in order, and how many keys `file_date_pattern` did not match.

    `first_keys` gives for each file date the first of its keys, in the order of the listing.
    """

    days: Mapping[date, Sequence[str]]
    first_keys: Mapping[date, str]
    undated: int

    def day(self, day: date) -> Sequence[str]:
        """The IDs of the export files of a file date."""
        return self.days.get(day, ())


def survey(objects: Iterable[StoredObject], pattern: KeyPattern | None) -> Survey:
    """Count off a whole listing. Of an object only its ID is kept: a prefix of many objects needs little memory."""
    found: dict[date, list[str]] = {}
    first_keys: dict[date, str] = {}
    undated = 0
    for item, day, is_undated in dated(objects, pattern):
        undated += is_undated
        if day is not None:
            found.setdefault(day, []).append(file_id(item))
            first_keys.setdefault(day, item.key)
    for ids in found.values():
        ids.sort()
    return Survey(found, first_keys, undated)
