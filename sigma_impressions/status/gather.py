"""Put the status together; what cannot be looked at is a finding, and never keeps the rest from being shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from deltalake.exceptions import DeltaError

from sigma_impressions.errors import OperatorError
from sigma_impressions.exports.captured import Captured, read_captured
from sigma_impressions.instance import instance_to_read
from sigma_impressions.lake.tables import Tables
from sigma_impressions.settings.declared import Settings
from sigma_impressions.status.facts import (
    DAGSTER,
    DATABASE,
    SIZES,
    STORAGE,
    TABLES,
    Colour,
    Finding,
    Published,
    Recorded,
    Sizes,
    Status,
)
from sigma_impressions.status.stored import (
    check_source,
    found_in_published,
    found_in_sizes,
    is_remote,
    measured,
    read_published,
    tables_to_read,
)
from sigma_impressions.users import without_address
from sigma_impressions.waiting import TooSlow, within

T = TypeVar("T")

_PATIENCE = 20.0
"""Seconds after which nobody who wants to know how things are waits for a store or a database server any longer."""

_UNKNOWN = "Its contents are as this version does not know them. Is it of another version, or damaged?"


def read_status(settings: Settings, home: Path) -> Status:
    """How the pipeline of these settings is doing, whose Dagster instance lies in `home`."""
    now = datetime.now(UTC)
    findings: list[Finding] = []

    def looked_at(part: str, look: Callable[[], T]) -> T | None:
        try:
            return within(_PATIENCE, look)
        except TooSlow as slow:
            said = f"Gave up after {_PATIENCE:.0f} s, still waiting for {slow.waited_for or 'the disk'}."
        except OperatorError as error:
            said = str(error)
        except OSError as error:
            said = f"{error.filename or part} cannot be read: {error.strerror or type(error).__name__}."
        except DeltaError as error:
            said = f"Delta Lake cannot read the tables ({type(error).__name__})."
        except Exception as error:  # Whoever asks how things are is told, whatever is broken.
            said = f"{_UNKNOWN} ({type(error).__name__})"
        findings.append(Finding(Colour.RED, part, without_address(said)))
        return None

    def read_from_tables(part: str, read: Callable[[Tables], T]) -> T | None:
        # A store that does not answer is not asked again.
        if is_remote(settings) and any(finding.name in STORAGE for finding in findings):
            return None

        def look() -> T:
            with tables_to_read(settings) as tables:
                return read(tables)

        return looked_at(part, look)

    captured: Captured | None = read_from_tables(TABLES, read_captured)
    if captured is not None:
        read_from_tables("source", lambda tables: check_source(tables, settings))
    published: Published | None = read_from_tables(DATABASE, read_published)
    if not any(finding.name in STORAGE for finding in findings):
        findings += found_in_published(published, captured, now)
    recorded: Recorded | None = None
    if (found := looked_at(DAGSTER, lambda: _recorded(home, now))) is not None:
        recorded = found[0]
        findings += found[1]
    sizes: Sizes | None = read_from_tables(SIZES, lambda tables: measured(tables, settings, home))
    findings += found_in_sizes(sizes) if sizes is not None else ()
    return Status(
        name=settings.name,
        source=str(settings.bucket_uri),
        storage=settings.storage,
        dagster_home=str(home),
        now=now,
        captured=captured,
        published=published,
        recorded=recorded,
        sizes=sizes,
        findings=tuple(sorted(findings, key=lambda finding: list(Colour).index(finding.colour))),
    )


def _recorded(home: Path, now: datetime) -> tuple[Recorded | None, list[Finding]]:
    """What is recorded; None where no instance has recorded anything yet."""
    with instance_to_read(home) as instance:
        if instance is None:
            return None, []
        # Only here: without an instance Dagster's modules need not be loaded.
        from sigma_impressions.status.recorded import read_recorded

        return read_recorded(instance, now)
