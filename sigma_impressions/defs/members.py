"""The asset `sigma_members`: who may use Sigma; only if there is something to read them from."""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg
import polars as pl
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from sigma_impressions.defs.checks import Check
from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.metadata import PREVIEW_ROWS, definition_metadata, location, table_of
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.resource_checks import shrinkage
from sigma_impressions.defs.stored import tables_of
from sigma_impressions.errors import (
    ObjectChanged,
    ObjectGone,
    ResourcesRefused,
    ResourcesUnreadable,
    SigmaApiError,
    StoreError,
)
from sigma_impressions.exports.source import refuse_other_source
from sigma_impressions.lake.schemas import MEMBER_SNAPSHOTS, SIGMA_MEMBERS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.settings.declared import Settings
from sigma_impressions.upkeep.edit_users import refuse_stored_addresses
from sigma_impressions.upstream.members import DiscoveredMembers, discover_members
from sigma_impressions.upstream.members_file import read_members
from sigma_impressions.upstream.members_stored import CapturedMembers, as_stored, capture_members
from sigma_impressions.users import canonical, without_address
from sigma_impressions.wiring import (
    members_bucket,
    members_credentials,
    members_location,
    pseudonyms,
    source,
)

READ = Check(
    "members_are_read",
    "Warns when the members could not be read, or not with all of their teams. The last known ones stay in use.",
)
COMPLETE = Check(
    "members_are_complete",
    "Warns when more than SIGMA_IMPRESSIONS_MEMBERS_SHRINKAGE_PERCENT of the members vanished within a week. If it is "
    "yellow: does the reader still see all of them?",
    bound="SIGMA_IMPRESSIONS_MEMBERS_SHRINKAGE_PERCENT",
)

_NOT_READ = (ObjectChanged, ObjectGone, ResourcesRefused, ResourcesUnreadable, SigmaApiError, StoreError)
"""What is wrong with the source of the members, and not with the storage: the day's numbers do not depend on it."""


def build_member_assets(names: Names = PLAIN_NAMES) -> list[dg.AssetsDefinition]:
    """The asset `sigma_members`, which is read by every run, before the database is published."""
    key = names.key(SIGMA_MEMBERS.name)

    @dg.asset(
        key=key,
        required_resource_keys={names.resource},
        kinds={"delta", "polars"},
        metadata=definition_metadata(SIGMA_MEMBERS),
        check_specs=[check.spec(key) for check in (READ, COMPLETE)],
        description=(
            "Members of the Sigma organization, with account types and teams. Read by every run; a new snapshot is "
            "kept when something changed. If they cannot be read, members_are_read is yellow and the last snapshot "
            "stays in use: no number of views depends on them."
        ),
    )
    def sigma_members(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            settings = names.settings_of(context.resources)
            stored, log = tables_of(context, settings), log_of(context)
            refuse_other_source(stored, source(settings))
            if pseudonyms(settings) is not None:
                refuse_stored_addresses(stored)
            now = datetime.now(UTC)
            where, found = _read_from(settings) or "nothing", DiscoveredMembers()
            captured: CapturedMembers | None = None
            problems: list[str] = []
            try:
                found = _read(settings, log.info)
                captured = _capture(stored, settings, where, found, now)
            except _NOT_READ as error:
                problems.append(f"{error} The last known members stay in use.")
            problems = [without_address(problem) for problem in (*problems, *found.notes)]
            for problem in problems:
                log.warning(problem)
            for remark in found.remarks:
                log.info(remark)
            snapshots = stored.read(MEMBER_SNAPSHOTS).collect()
        newest = snapshots.sort("taken_at")["members"].tail(1)
        counted = captured.members if captured else int(newest.sum())
        log.info(f"{where}: {counted} members, {'a new snapshot' if captured and captured.is_new else 'unchanged'}")
        return dg.MaterializeResult(
            metadata={
                "members": counted,
                "vanished": captured.vanished if captured else 0,
                "is_new": captured is not None and captured.is_new,
                "read_from": where,
                "remarks": " ".join(found.remarks) or "none",
                "requests": found.traffic.requests,
                "retries": found.traffic.retries,
                # Of single members nothing: what an event holds stays when somebody is forgotten.
                "account_types": table_of(_account_types(found.members)),
                "table": location(stored, SIGMA_MEMBERS),
            },
            check_results=[
                READ.result(key, " ".join(problems) or None),
                shrinkage(
                    COMPLETE,
                    key,
                    snapshots,
                    {"members": counted},
                    most_percent=settings.members_shrinkage_percent,
                    now=now,
                    remedy="Who is gone is kept for 60 days. Look whether the reader still sees all members: its "
                    "rights, its filters, its errors.",
                ),
            ],
        )

    return [sigma_members]


def members_read(instance: dg.DagsterInstance, names: Names = PLAIN_NAMES) -> datetime | None:
    """When the members were last read with all of their teams; None if they never were."""
    key = dg.AssetCheckKey(names.key(SIGMA_MEMBERS.name), READ.name)
    passed = {AssetCheckExecutionRecordStatus.SUCCEEDED}
    found = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=passed)
    return next((datetime.fromtimestamp(record.create_timestamp, UTC) for record in found), None)


def _read_from(settings: Settings) -> str | None:
    """Where the members are read from; None if there is no source of them."""
    credentials = members_credentials(settings)
    return members_location(settings) or (credentials.base_url if credentials else None)


def _read(settings: Settings, report: Callable[[str], None]) -> DiscoveredMembers:
    """Who is found there."""
    if (where := members_location(settings)) is not None:
        return DiscoveredMembers(read_members(where, members_bucket(settings)))
    if (credentials := members_credentials(settings)) is not None:
        return discover_members(credentials, report)
    raise ResourcesUnreadable("No members are read: neither their file nor the Sigma API is set, or they are off.")


def _account_types(members: pl.DataFrame) -> pl.DataFrame:
    counts = members.group_by("account_type", "kind").agg(members=pl.len(), active=pl.col("is_active").sum())
    return counts.sort("members", "account_type", "kind", descending=[True, False, False]).head(PREVIEW_ROWS)


def _capture(
    stored: Tables, settings: Settings, where: str, found: DiscoveredMembers, now: datetime
) -> CapturedMembers:
    from sigma_impressions.exports.reading.classify import is_not_excluded  # imports what takes long

    users = pseudonyms(settings)
    counted = is_not_excluded(canonical(found.members["email"]), settings.excluded_users)
    everybody = found.members.with_columns(is_counted=pl.lit(True) if counted is None else counted.fill_null(True))
    members, excluded = everybody.filter("is_counted"), everybody.filter(~pl.col("is_counted"))
    unread = found.unread_teams
    return capture_members(
        stored,
        as_stored(members, users),
        where,
        now,
        unread_teams=[without_address(name) for name in unread] if users and unread else unread,
        excluded=as_stored(excluded, users)["user_email"].to_list(),
    )
