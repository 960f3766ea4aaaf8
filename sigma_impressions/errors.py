"""The errors that an operator can mend, in one hierarchy.

    OperatorError                 again   what went wrong
      SettingsError               no      settings, or the options of a run
      InstanceError               no      the Dagster instance in DAGSTER_HOME
      StoreError                  yes     the bucket of the exports
        ObjectUnreadable          yes       one object, while others may well be read
      ObjectChanged               yes     an object was overwritten meanwhile
      ObjectGone                  yes     an object is not there any more
      StorageError                yes     the place of the tables
      TablesError                 no      tables that this version cannot work with
      DamagedError                no      something stored is missing or broken
      DatabaseUnreadable          no      a published database that is none, or damaged
      InputsChanged               yes     another process has rebuilt what was about to be read
      NothingComputed             no      what is asked for has not been computed yet
      AddressesStored             no      addresses are stored, pseudonyms are wanted
      OtherSource                 no      tables that hold the exports of another source
      ClockBehind                 no      a clock of this machine that is behind what the bucket lists
      UserUnknown                 no      who is to be forgotten is nobody
      ConservationError           no      numbers that do not add up
      ResourcesUnreadable         no      the snapshot file of the resources, or of the members
      ResourcesRefused            no      its content
      SigmaApiError               yes     Sigma's REST API
        SigmaUnavailable          yes       no answer for now
        SigmaRefused              no        an answer that another attempt would not change
      ReportError                 yes     the usage report
      DataHubError                yes     DataHub
      WarehouseError              yes     the warehouse
      WarehouseChanged            no      tables in the warehouse that others have changed
      NotPosted                   yes     a webhook that does not take a message
      MetricsNotWritten           yes     the file with the metrics for operators
      ObjectStoreError            yes     the S3 server of the demo

The message says what is wrong, where, and what to do. It holds no secret, no address, and no text of an SDK. It is one
line, whatever the names in it hold; of `SettingsError` one line for each problem, of `ObjectStoreError` the end of the
server's log too.

- In Dagster a step fails with just the message, without a traceback, and is tried again only where that may help
  (`again`); a tick fails with the message (`defs/failures.py`).
- The command line prints the message and ends with exit code 1 (`cli/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sigma_impressions.texts import printable


class OperatorError(Exception):
    """Something that an operator can mend; the message says how."""

    again: ClassVar[bool] = True
    """Whether another try may help, with nothing changed."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(printable, lines)))

    def __init_subclass__(cls, again: bool | None = None) -> None:
        if again is not None:
            cls.again = again


def missing_extra(what: str, package: str, extra: str) -> str:
    """The message about a package that is not installed, and that an extra of this one brings."""
    return (
        f"{what} needs the package {package}, which is not installed. Install it with the extra: "
        f"pip install 'sigma-impressions[{extra}]'"
    )


@dataclass(frozen=True)
class Problem:
    """One setting that cannot be used, and what to write instead. The message never holds a secret."""

    environment_variable: str
    message: str


class SettingsError(OperatorError, again=False):
    """Settings that cannot be used. `str()` lists every problem, one line each."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*(f"{p.environment_variable}: {p.message}" for p in problems))
        self.problems = problems


class RefusedValue(ValueError):
    """The value of one setting is refused; the text says what to write instead. A `SettingsError` collects them."""


class InstanceError(OperatorError, again=False):
    """Dagster's own records cannot be kept; the message says why, and holds no password."""


class StoreError(OperatorError):
    """The store of the exports refuses or cannot be reached; the message says what has to be changed."""


class ObjectUnreadable(StoreError):
    """One object cannot be read, whatever is with others; `reason` says why in a few words."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ObjectChanged(OperatorError):
    """The object exists, but no longer at the version that was asked for."""


class ObjectGone(OperatorError):
    """There is no such object any more."""


class StorageError(OperatorError):
    """The storage location cannot be used; the message says what is missing and what to do."""


class TablesError(OperatorError, again=False):
    """The storage location holds something that this version cannot work with."""


class DamagedError(OperatorError, again=False):
    """Something that the storage held is missing or broken: each of `found` says what. Nothing is published over it."""

    def __init__(self, *found: str) -> None:
        more = f" ({len(found) - 1:,} more places are damaged)" if len(found) > 1 else ""
        super().__init__(
            f"What is stored is damaged: {found[0]}{more}. Nothing was published. Restore it from a backup, or give up "
            "what is lost with sigma-impressions maintain --drop-damaged; export files that the bucket still holds "
            "are then read again"
        )


class DatabaseUnreadable(OperatorError, again=False):
    """What is published as the database is none, or is damaged; whoever publishes replaces it."""


class InputsChanged(OperatorError):
    """Another process has rebuilt what this one was about to read; look again and redo."""


class NothingComputed(OperatorError, again=False):
    """What is asked for has not been computed yet; the message names what to materialize first."""


class AddressesStored(OperatorError, again=False):
    """The tables hold addresses although pseudonyms are wanted."""

    def __init__(self) -> None:
        super().__init__(
            "The tables hold e-mail addresses from before SIGMA_IMPRESSIONS_USERS was set to pseudonym. Run "
            "sigma-impressions pseudonymize, which turns them into pseudonyms; until then nothing is captured"
        )


class OtherSource(OperatorError, again=False):
    """The storage holds the exports of another bucket or prefix; the message names both."""


class ClockBehind(OperatorError, again=False):
    """The clock of this machine is behind what the bucket lists, so it does not tell what is of the future."""


class UserUnknown(OperatorError, again=False):
    """Somebody is to be forgotten who is neither an address nor a stored user."""

    def __init__(self) -> None:
        super().__init__(
            "This is neither an e-mail address nor a user of the tables, so nothing was changed. Write the whole "
            "address, or the user exactly as user_activity has it"
        )


class ConservationError(OperatorError, again=False):
    """Numbers do not add up: a fault of the program. Nothing of them is written."""


class ResourcesUnreadable(OperatorError, again=False):
    """The snapshot file is missing or cannot be opened; the message says which file."""


class ResourcesRefused(OperatorError, again=False):
    """A snapshot of `sigma_resources` or `sigma_members` breaks the contract; the message names the rows."""


class SigmaApiError(OperatorError):
    """The Sigma REST API cannot be read; the message names endpoint and status."""


class SigmaUnavailable(SigmaApiError):
    """Sigma did not answer, or only with passing errors, until the last attempt; later it may."""


class SigmaRefused(SigmaApiError, again=False):
    """Sigma has answered with an error that another attempt would not change; `status` is its HTTP status.

    It is 401 whenever Sigma does not accept the credentials.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ReportError(OperatorError):
    """The usage report cannot be made."""


class DataHubError(OperatorError):
    """DataHub does not take the usage."""


class WarehouseError(OperatorError):
    """The warehouse does not take the tables."""


class WarehouseChanged(OperatorError, again=False):
    """Others have changed the tables in the warehouse; nothing is written over it."""


class NotPosted(OperatorError):
    """A webhook did not take the alerts, or the digest. The message never holds the webhook's URL."""


class MetricsNotWritten(OperatorError):
    """The file with the metrics for operators cannot be written."""


class ObjectStoreError(OperatorError):
    """The S3 server of the demo cannot be used."""
