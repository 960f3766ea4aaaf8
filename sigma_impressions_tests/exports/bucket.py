"""A bucket in memory that may change while it is read, and scans of it into the tables."""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sigma_impressions.clouds.objects import ObjectStore, StoredObject
from sigma_impressions.errors import ObjectChanged, ObjectGone
from sigma_impressions.exports.capture import capture_pending
from sigma_impressions.exports.listing import Listing, sort_out
from sigma_impressions.exports.manifest import record_listing
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.lake.tables import Tables

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Bucket:
    """An object store in memory. `before_download` may change it between the listing and the reading of a key."""

    bucket = "exports"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[StoredObject, bytes]] = {}
        self.before_download: Callable[[str], None] = lambda key: None
        self.downloads: list[str] = []

    def put(self, key: str, data: bytes, modified: datetime = NOON) -> StoredObject:
        version = hashlib.md5(data).hexdigest()
        item = StoredObject(self.bucket, key, version, len(data), modified)
        self.objects[key] = (item, data)
        return item

    def delete(self, key: str) -> None:
        del self.objects[key]

    def list(self, prefix: str, start_after: str | None = None) -> Iterator[StoredObject]:
        for key, (item, _) in sorted(self.objects.items()):
            if key.startswith(prefix) and key > (start_after or ""):
                yield item

    def below(self, prefix: str) -> builtins.list[str]:
        parts = {key[len(prefix) :].partition("/") for key in self.objects if key.startswith(prefix)}
        return sorted({f"{prefix}{name}{slash}" for name, slash, _ in parts})

    def stat(self, key: str) -> StoredObject:
        if key not in self.objects:
            raise ObjectGone(key)
        return self.objects[key][0]

    def download(self, item: StoredObject, target: Path) -> None:
        self.before_download(item.key)
        self.downloads.append(item.key)
        if self.stat(item.key).version != item.version:
            raise ObjectChanged(item.key)
        target.write_bytes(self.objects[item.key][1])


def listing(bucket: Bucket, *days: date) -> Listing:
    return sort_out(bucket.list(""), days or {DAY}, None)


def captured(
    tables: Tables, store: ObjectStore, rules: ReadingRules | None = None, **options: Any
) -> list[dict[str, Any]]:
    """Capture what is pending; the new rows of the registry."""
    options = {"pattern": None, "report": lambda line: None, "warn": lambda line: None, **options}
    return capture_pending(tables, lambda: store, rules or ReadingRules(), **options)


def scanned(tables: Tables, bucket: Bucket, *days: date, **options: Any) -> list[dict[str, Any]]:
    """One scan: list, record, capture; the new rows of the registry."""
    record_listing(tables, listing(bucket, *days), datetime.now(UTC))
    return captured(tables, bucket, **options)
