"""The Dagster instance of a folder: how it is opened, and what it means when it cannot be.

Dagster is imported when an instance is opened.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sigma_impressions.errors import InstanceError, OperatorError, missing_extra
from sigma_impressions.lake.scratch import locked
from sigma_impressions.project import INSTANCE_SETTINGS
from sigma_impressions.waiting import waiting_for

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.instance import InstanceRef

_OF_POSTGRESQL = (
    (r"password|no pg_hba\.conf entry|role .* does not exist", "refuses the user or the password"),
    (r"database .* does not exist", "has no database of this name"),
    (r"could not translate host name", "is not found: no host has this name"),
)
"""What PostgreSQL's errors mean, by their text: it has no codes for what goes wrong before a connection is there."""

_POSTGRESQL_PACKAGES = {"dagster_postgres": "dagster-postgres", "psycopg2": "psycopg2-binary"}
"""Module -> the package that has it."""

_OTHER_SCHEMA = r"no such (table|column)|(relation|column) .* does not exist"
"""What SQLite and PostgreSQL say of tables that are not as this version of Dagster makes them."""

_DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
"""The files of an instance that keeps its records in SQLite, without those of each run."""

_URL = "A URL of PostgreSQL is postgresql+psycopg2://user:password@host:5432/dagster"
_ROOM = "Make room, or give this user the right to read and write there"


@contextmanager
def opened_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of a folder. Raises `InstanceError`, inside too where its records cannot be kept.

    One process at a time opens it: the first one creates its databases, and two at once would break them.
    """
    import dagster as dg

    with (
        _clear_errors(home, _fault_of_settings, _fault_of_records),
        locked(home / ".opening.lock"),
        waiting_for("Dagster's storage: opening it"),
        _without_warnings(),
    ):
        instance = dg.DagsterInstance.from_config(str(home))
    with _clear_errors(home, _fault_of_records), instance:
        yield instance


@contextmanager
def instance_to_read(home: Path) -> Iterator[dg.DagsterInstance | None]:
    """As `opened_instance`, for whoever only looks: nothing is made or migrated. None where there is none yet."""
    import dagster as dg
    from dagster._core.instance import InstanceRef

    if not home.is_dir():
        yield None
        return
    with _without_warnings(), _clear_errors(home, _fault_of_settings, _fault_of_records):
        ref = _without_creation(InstanceRef.from_dir(str(home)))
        is_new = not _is_made(ref)
    if is_new:
        yield None
        return
    with _without_warnings():
        with _clear_errors(home, _fault_of_settings, _fault_of_records):
            instance = dg.DagsterInstance.from_ref(ref)
        # PostgreSQL is asked by the first question only.
        with _clear_errors(home, _fault_of_records), waiting_for("Dagster's storage: reading it"), instance:
            yield instance


def _is_made(ref: InstanceRef) -> bool:
    """Whether the databases of an instance are there, if they are files: Dagster would make those that are not."""
    stored_in = ref.storage_data
    if stored_in is None or stored_in.class_name != "DagsterSqliteStorage":
        return True
    folder = Path(stored_in.config_dict["base_dir"])
    return all(_is_database(folder / name) for name in _DATABASES)


def _is_database(path: Path) -> bool:
    """Whether Dagster has finished making a database. Raises `DatabaseError` of SQLAlchemy if a file is none."""
    from sqlalchemy import NullPool, create_engine, inspect, text

    if not path.is_file():
        return False
    location = f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true"
    with create_engine(location, poolclass=NullPool).connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        return connection.execute(text("SELECT version_num FROM alembic_version")).first() is not None


def _without_creation(ref: InstanceRef) -> InstanceRef:
    """The same instance, which makes no tables in PostgreSQL where there are none."""
    from yaml import safe_dump

    stored_in = ref.storage_data
    if stored_in is None or stored_in.class_name != "DagsterPostgresStorage":
        return ref
    settings = {**stored_in.config_dict, "should_autocreate_tables": False}
    return ref._replace(storage_data=stored_in._replace(config_yaml=safe_dump(settings)))


@contextmanager
def _clear_errors(home: Path, *faults: Callable[[BaseException, Path], str | None]) -> Iterator[None]:
    """Inside, an error that has a fault at its root becomes an `InstanceError`; others pass as they are.

    The libraries' own texts are left out where they may hold a password.
    """
    try:
        yield
    except Exception as error:
        found = (fault(cause, home) for cause in _chain(error) for fault in faults)
        if isinstance(error, OperatorError) or (meaning := next(filter(None, found), None)) is None:
            raise
        raise InstanceError(meaning) from None


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Inside, nobody logs each of several tries to reach a database, nor that a folder has no `dagster.yaml`.

    Dagster advises an empty one then, with which it would send telemetry.
    """
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)


def _fault_of_settings(error: BaseException, home: Path) -> str | None:
    """What is wrong with `dagster.yaml`, and what to do."""
    from dagster import DagsterInvalidConfigError
    from sqlalchemy.exc import ArgumentError
    from yaml import MarkedYAMLError, YAMLError

    settings = home / INSTANCE_SETTINGS
    if isinstance(error, YAMLError | UnicodeDecodeError) or "parse to dictionary" in str(error):
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        where = f" Look at line {mark.line + 1}." if mark else ""
        return f"{settings} is no YAML with settings.{where} Correct it, or move it away to have a new one written"
    if isinstance(error, DagsterInvalidConfigError):
        return f"{settings} {_refused_settings(str(error))}"
    if isinstance(error, ArgumentError):
        return f"{settings} gives a URL of PostgreSQL that is none. {_URL}"
    if isinstance(error, ImportError):
        if package := _POSTGRESQL_PACKAGES.get(error.name or ""):
            return missing_extra(str(settings), package, "postgres")
        return (
            f"{settings} needs the module {error.name}, which is not installed. Install it, or correct the file. {_URL}"
        )
    return None


def _fault_of_records(error: BaseException, home: Path) -> str | None:
    """Why the instance cannot read or write, and what to do."""
    from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

    if isinstance(error, DBAPIError) and re.search(_OTHER_SCHEMA, str(error.orig)):
        return (
            f"The records of Dagster in DAGSTER_HOME, {home}, are those of another version of Dagster. Of an "
            "older one: let nothing run, save them, and call dagster instance migrate. Of a newer one: install it"
        )
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError | ProgrammingError):
        if isinstance(error.orig, sqlite3.Error):
            return f"The databases of Dagster in DAGSTER_HOME, {home}, cannot be used: {error.orig}. {_ROOM}"
        found = (meaning for pattern, meaning in _OF_POSTGRESQL if re.search(pattern, str(error.orig)))
        return (
            f"PostgreSQL, which {home / INSTANCE_SETTINGS} names as Dagster's storage, {next(found, 'does not answer')}"
            ". Start it, or correct the host, port, user, password and database that the file or its variable gives"
        )
    if isinstance(error, OSError) and error.filename is not None and Path(error.filename).is_relative_to(home):
        return f"DAGSTER_HOME: {error.filename} cannot be used: {error.strerror}. {_ROOM}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refused_settings(text: str) -> str:
    """What Dagster finds in `dagster.yaml`, as the rest of a sentence about it; never a value, which may be secret."""
    if unset := re.search(r'environment variable "(\w+)" which is not set', text):
        return f"takes a value from the variable {unset[1]}, which is not set. Set it, also for Dagster's own processes"
    if unknown := re.search(r'unexpected config entr(?:y|ies) "?\[?[\'"]?(\w+)[^.]* at (the root|path [\w:]+)', text):
        return f"has an entry that Dagster does not know: {unknown[1]}, at {unknown[2]}. Correct it"
    if path := re.search(r"at path ([\w:]+)", text):
        return f"has a value that Dagster does not take, at {path[1]}. Correct it"
    return "has settings that Dagster does not take. Correct it"
