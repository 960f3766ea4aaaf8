"""Read everything that is stored, and find the bytes that are not those that were written."""

from __future__ import annotations

from collections.abc import Callable

from sigma_impressions.errors import DamagedError
from sigma_impressions.lake.inventory import take_stock, verify
from sigma_impressions.lake.tables import Tables
from sigma_impressions.publish.database import DATABASE_NAME, fetch_database, is_readable, remove_database


def verify_storage(tables: Tables, report: Callable[[str], None]) -> None:
    """Compare every data file with the digest in its name, and what should be there with what is.

    A published database that cannot be read is removed, so that the next run publishes it anew. Raises `DamagedError`
    at the end if anything of the tables is damaged; all of it is reported before.
    """
    storage = tables.storage
    # What is published, not what this machine once fetched.
    storage.forget_copy(DATABASE_NAME)
    if fetch_database(storage) is not None and not is_readable(storage.local / DATABASE_NAME):
        remove_database(storage)
        report(f"{storage.uri(DATABASE_NAME)} was damaged and is removed; the next run publishes it again")
    found = dict.fromkeys(map(str, verify(tables)))
    try:
        found |= dict.fromkeys(map(str, take_stock(tables)))
    except DamagedError:
        # Of a registry, which is among what was found.
        if not found:
            raise
    for damage in found:
        report(f"Damaged: {damage}")
    if found:
        raise DamagedError(*found)
    report("verified: every data file holds the bytes that were written")
