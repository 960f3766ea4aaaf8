"""Show the usage in DataHub: as usage statistics of the dashboards and charts that its Sigma source makes.

Needs the extra `datahub`; its package is imported only when something is exported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from sigma_impressions.destinations.entity_usage import PAGE, EntityUsage, entity_usage
from sigma_impressions.errors import DataHubError, missing_extra
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.engine import DEFAULT_LIMITS, Limits
from sigma_impressions.lake.scratch import locked, replacing
from sigma_impressions.lake.tables import Tables, retry_conflicts
from sigma_impressions.quiet import without_debug_lines
from sigma_impressions.upstream.contract import WORKBOOK
from sigma_impressions.waiting import waiting_for
from sigma_impressions.windows import LONGEST_WINDOW

PLATFORM: Final = "sigma"
"""The platform of DataHub's Sigma source, part of every URN."""

_DASHBOARDS: Final = (WORKBOOK, PAGE)
"""What DataHub's Sigma source makes a dashboard of, named by the workbook or page ID; of all else it makes charts."""

_SENT_FOLDER = "datahub"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class DataHub:
    """Where the usage goes: a server (`http://` or `https://`) or a local JSON file, and how URNs are made.

    `platform_instance` is that of the recipe of DataHub's Sigma source, if it has one.
    """

    target: str
    token: str | None = field(default=None, repr=False)
    platform_instance: str | None = None

    @property
    def is_server(self) -> bool:
        """Whether the target is a server."""
        return self.target.startswith(("http://", "https://"))


@dataclass(frozen=True)
class Exported:
    """What was exported as of a day: aspects sent, those that the server has already, workbooks without an ID."""

    as_of: date
    aspects: int
    unchanged: int
    unnamed: int


def export_usage(
    tables: Tables, datahub: DataHub, report: Callable[[str], None], limits: Limits = DEFAULT_LIMITS
) -> Exported:
    """Send to a server what has changed since the last export from this machine, or write everything to a file.

    Raises `DataHubError` if the server does not take it, or the package is missing; what was sent until then is
    sent again next time, which changes nothing. Raises `NothingComputed` if no as-of date is computed yet.
    """
    _check_package()
    folder = tables.root / _SENT_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    sent = folder / f"{digest([datahub.target, datahub.platform_instance])}.parquet"
    # One at a time, so that what is remembered is what the target has.
    with locked(sent.with_suffix(".lock")):
        return retry_conflicts(lambda: _export(tables, datahub, sent, report, limits))


def _export(tables: Tables, datahub: DataHub, sent: Path, report: Callable[[str], None], limits: Limits) -> Exported:
    with entity_usage(tables, limits) as usage:
        batches = usage.changes(sent if datahub.is_server else None)
        proposals = ([_proposal(row, usage.as_of, datahub) for row in batch] for batch in batches)
        if datahub.is_server:
            aspects = _send(datahub, proposals)
            usage.remember(sent)
        else:
            aspects = _write(Path(datahub.target), proposals)
        _report(usage, datahub, aspects, report)
        return Exported(usage.as_of, aspects, max(usage.rows - aspects, 0), usage.unnamed)


def _report(usage: EntityUsage, datahub: DataHub, aspects: int, report: Callable[[str], None]) -> None:
    report(
        f"{datahub.target}: {aspects} usage statistics as of {usage.as_of} of {usage.rows}: views of each of "
        f"{LONGEST_WINDOW} days and of all captured days, a workbook's with those of its elements"
    )
    if usage.unnamed:
        report(
            f"{usage.unnamed} workbooks have no workbook_id, which DataHub names them by, and are left out; let the "
            "upstream integration write it"
        )


def _check_package() -> None:
    # As Dagster's own: nobody is told that this runs. Read when the package is imported.
    os.environ.setdefault("DATAHUB_TELEMETRY_ENABLED", "false")
    try:
        import datahub.emitter.mcp  # noqa: F401
    except ModuleNotFoundError:
        raise DataHubError(missing_extra("The export to DataHub", "acryl-datahub", "datahub")) from None


def _proposal(row: Mapping[str, Any], as_of: date, datahub: DataHub) -> Any:
    """A row of the usage in DataHub's words: a bucket of one day, or the latest snapshot of the total.

    Both carry the beginning of their day, so that what is sent again replaces what was sent before.
    """
    from datahub.emitter.mce_builder import make_chart_urn, make_dashboard_urn, make_user_urn
    from datahub.emitter.mcp import MetadataChangeProposalWrapper
    from datahub.metadata.schema_classes import (
        CalendarIntervalClass,
        ChartUsageStatisticsClass,
        ChartUserUsageCountsClass,
        DashboardUsageStatisticsClass,
        DashboardUserUsageCountsClass,
        TimeWindowSizeClass,
    )

    is_day = row["event_date"] is not None
    figures: dict[str, Any] = {
        "timestampMillis": _milliseconds(datetime.combine(row["event_date"] or as_of, time.min, UTC)),
        "eventGranularity": TimeWindowSizeClass(unit=CalendarIntervalClass.DAY) if is_day else None,
        "viewsCount": row["impressions"],
        "uniqueUserCount": row["distinct_users"],
    }
    users = [(make_user_urn(user["user_email"]), user) for user in row["used"]]
    if row["resource_type"] in _DASHBOARDS:
        urn = make_dashboard_urn(PLATFORM, row["entity_id"], datahub.platform_instance)
        aspect = DashboardUsageStatisticsClass(
            **figures,
            userCounts=[
                DashboardUserUsageCountsClass(
                    user=name,
                    viewsCount=user["impressions"],
                    usageCount=user["impressions"],
                    userEmail=user["user_email"],
                )
                for name, user in users
            ]
            if is_day
            else None,
            lastViewedAt=_milliseconds(row["last_impression_at"]) if row["last_impression_at"] else None,
        )
    else:
        urn = make_chart_urn(PLATFORM, row["entity_id"], datahub.platform_instance)
        aspect = ChartUsageStatisticsClass(
            **figures,
            userCounts=[ChartUserUsageCountsClass(user=name, viewsCount=user["impressions"]) for name, user in users]
            if is_day
            else None,
        )
    return MetadataChangeProposalWrapper(entityUrn=urn, aspect=aspect)


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _write(path: Path, batches: Iterable[list[Any]]) -> int:
    """A file as DataHub's file source reads it, one proposal a line, complete before it gets its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write("[")
        for proposal in (proposal for batch in batches for proposal in batch):
            file.write(",\n" if count else "\n")
            json.dump(proposal.to_obj(simplified_structure=True), file)
            count += 1
        file.write("\n]\n")
    return count


def _send(datahub: DataHub, batches: Iterator[list[Any]]) -> int:
    from datahub.configuration.common import ConfigurationError, OperationalError
    from datahub.emitter.rest_emitter import DataHubRestEmitter
    from requests import RequestException

    without_debug_lines()
    count = 0
    try:
        with (
            waiting_for(f"{datahub.target}: sending usage statistics"),
            closing(DataHubRestEmitter(datahub.target, token=datahub.token)) as emitter,
        ):
            # A redirect would take the addresses to a place that nobody has named.
            emitter.session.max_redirects = 0
            # Asks the server which of the two ways it takes, and refuses one that is not DataHub's.
            emitter.test_connection()
            for batch in batches:
                emitter.emit_mcps(batch)
                count += len(batch)
    except (ConfigurationError, OperationalError, RequestException) as error:
        # Only the status or the kind: the text repeats what was sent, which holds e-mail addresses.
        raise DataHubError(
            f"DataHub at {datahub.target} did not take the usage ({_reason(error)}) after {count} usage statistics. "
            "Check SIGMA_IMPRESSIONS_DATAHUB, which names the metadata service (for example "
            "https://datahub.example.com:8080), and SIGMA_IMPRESSIONS_DATAHUB_TOKEN; it is sent again next time."
        ) from None
    return count


def _reason(error: Exception) -> str:
    """HTTP status, with what to do about a redirect, else the kind of the error."""
    chain: BaseException | None = error
    while chain is not None:
        response = getattr(chain, "response", None)
        if response is not None:
            status = f"HTTP {response.status_code}"
            return (
                f"{status}, a redirect, which is not followed: write the URL it leads to"
                if response.is_redirect
                else status
            )
        chain = chain.__cause__ or chain.__context__
    return type(error.__cause__ or error).__name__
