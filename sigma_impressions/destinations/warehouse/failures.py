"""What goes wrong between dlt and a warehouse, as a sentence that holds no secret and nothing of what was sent."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sigma_impressions.errors import OperatorError, WarehouseError

_SAID: Final = {
    "refuses the user or the password": (
        r"password authentication failed|Incorrect username or password|no password supplied"
    ),
    "cannot be reached": (
        r"Connection refused|could not translate host|Name or service not known|timeout expired|No route to host|"
        r"Network is unreachable"
    ),
    "has no database of this name": r"database \"[^\"]*\" does not exist",
    "does not permit it; docs/warehouse.md has the rights that the user needs": (
        r"permission denied|InsufficientPrivilege|not authorized|Access Denied"
    ),
    "has no space left": r"No space left|DiskFull",
    "takes no writing now": r"read-only transaction|ReadOnlySqlTransaction|read-only mode",
    "has closed the connection": r"server closed the connection|connection already closed|terminating connection",
    "is open in another program": r"Conflicting lock|Could not set lock",
}
"""What databases say, and what of it is passed on: their own text repeats hosts, users, and the rows themselves."""


class RowsUnreadable(Exception):
    """The rows could not be read from the storage, for a reason that the warehouse has no part in."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


@contextmanager
def clear_failures(shown: str, destination: str, doing: str) -> Iterator[None]:
    """Turn what dlt and the driver of a destination raise into a `WarehouseError`."""
    try:
        yield
    except OperatorError:
        raise
    except Exception as error:
        causes = list(_causes(error))
        # Of the rows' own making: another process has rebuilt what was read.
        for cause in causes:
            if isinstance(cause, OperatorError):
                raise cause from None
            if isinstance(cause, RowsUnreadable):
                raise cause.reason from None
        raise WarehouseError(f"{shown}: {doing} failed. {_reason(causes, destination)}") from None


@contextmanager
def nothing_printed() -> Iterator[None]:
    """Inside, an error that nobody catches is not printed.

    The driver of PostgreSQL prints what breaks off a COPY besides raising it, with the row that it was at. An error
    that ends the process has left this by the time it is printed.
    """
    printing = sys.excepthook
    sys.excepthook = lambda *_: None
    try:
        yield
    finally:
        sys.excepthook = printing


def refused_destination(destination: str) -> WarehouseError:
    """The error about a destination that cannot replace a day."""
    return WarehouseError(
        f"dlt's destination {destination} cannot replace the rows of a day, so that restated days would stand there "
        "twice. Name a database in SIGMA_IMPRESSIONS_WAREHOUSE; files are written by sigma-impressions export tables"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the outermost first."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop(0)
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        inner = [getattr(found, name, None) for name in ("exception", "client_exception", "dbapi_exception")]
        waiting += [one for one in inner if isinstance(one, BaseException)]
        waiting += [found.__cause__, found.__context__]


def _reason(causes: list[BaseException], destination: str) -> str:
    kinds = [type(cause).__name__ for cause in causes]
    variable = f"DESTINATION__{destination.upper()}__CREDENTIALS"
    where = f"{variable}, or [destination.{destination}.credentials] in .dlt/secrets.toml"
    if "MissingDependencyException" in kinds:
        return f"Its driver is not installed: pip install 'dlt[{destination}]'"
    if any("ConfigFieldMissing" in kind or "Configuration" in kind for kind in kinds):
        return f"Its credentials are not complete. Set {where}; dlt's documentation names the fields"
    if any("UnknownDestination" in kind for kind in kinds):
        return "dlt knows no such destination. Check SIGMA_IMPRESSIONS_WAREHOUSE"
    # What drivers raise is no error of the operating system, but says the same of the disk of the warehouse.
    if any(isinstance(cause, OSError) and cause.errno == errno.ENOSPC for cause in causes):
        return "This machine has no space left for what dlt is to send; the next run sends what is missing"
    texts = " ".join(f"{type(cause).__name__} {cause}" for cause in causes)
    for said, pattern in _SAID.items():
        if re.search(pattern, texts, re.IGNORECASE):
            return f"The warehouse {said}. Check {where}; the next run sends what is missing"
    state = next((f", SQLSTATE {code}" for cause in causes if (code := getattr(cause, "pgcode", None))), "")
    return (
        f"The reason is of the kind {kinds[-1]}{state}; its text may hold what was sent, and is not shown. Check "
        f"{where}, and the log of the warehouse; the next run sends what is missing"
    )
