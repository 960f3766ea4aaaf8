"""The settings of a source, each declared once.

The name, type, rule, default, help and group of a setting stand here and nowhere else. From them come the reading of
the environment (`read.py`), the Dagster resource (`defs/sigma_source.py`), the attributes of the component
(`defs/component.py`), and the tables of docs/settings.md (`make docs`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Literal

from sigma_impressions.destinations.warehouse.tables import TABLES, WAREHOUSES
from sigma_impressions.insights.thresholds import (
    ACTIVITY_DAYS,
    POWER_USER_DAYS,
    REGULAR_USER_DAYS,
    UNDERUSED_BELOW_USERS,
)
from sigma_impressions.settings import parse
from sigma_impressions.settings.parse import MIN_KEEP_DETAIL_DAYS, MIN_USERS_KEY_CHARACTERS
from sigma_impressions.settings.uris import BucketUri, parse_bucket_uri
from sigma_impressions.upstream.regions import REGIONS
from sigma_impressions.windows import MAX_DAYS_BACK


class Group(StrEnum):
    """What settings are about: the tables of the documentation, in its order."""

    FIRST_RUN = "first run"
    ACCESS = "access"
    STORAGE = "storage"
    RESOURCES = "resources"
    READING = "reading"
    COUNTING = "counting"
    PRIVACY = "privacy"
    RUNS = "runs"
    CHECKS = "checks"
    INSIGHTS = "insights"
    CATALOGS = "catalogs"
    WAREHOUSE = "warehouse"


@dataclass(frozen=True)
class Setting:
    """One field of the form "Add source".

    Its text is read from `variable`, or is `default` where nothing is set, and `rule` makes the value of it, or
    raises `RefusedValue`. Where there is no text at all the value is `absent`, unless it is `required`. A `secret` is
    never shown, only whether it is set. A `path` may be one of this machine.
    """

    rule: Callable[[str], Any]
    help: str
    group: Group
    default: str | None = None
    secret: bool = False
    required: bool = False
    path: bool = False
    absent: Any = None
    variable: str = ""
    name: str = ""


def _setting(*declared: Any, **more: Any) -> Any:
    """A `Setting` as the field of a dataclass, which gives the name, and the variable unless one is named."""
    setting = Setting(*declared, **more)
    return dataclasses.field(repr=not setting.secret, metadata={"setting": setting})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The validated settings of one source; made by `read_settings`.

    Secrets are left out of `repr()`; `describe()` gives what may be shown.
    """

    name: str = _setting(
        parse.name, "What the source is called wherever it is shown.", Group.FIRST_RUN, default="Sigma Impressions"
    )
    bucket_uri: BucketUri = _setting(
        parse_bucket_uri,
        "Where Sigma writes its exports: `s3://bucket/prefix` or `gs://bucket/prefix`. Everything under the prefix "
        "is read, at any depth.",
        Group.FIRST_RUN,
        required=True,
    )
    days_back: int = _setting(
        parse.days_back,
        f"File dates that one run scans, counting today (UTC): 1 to {MAX_DAYS_BACK}.",
        Group.RUNS,
        default="3",
    )
    aws_access_key_id: str | None = _setting(
        parse.key,
        "AWS access key ID, together with the secret access key; without both, the ambient AWS credentials.",
        Group.ACCESS,
        secret=True,
    )
    aws_secret_access_key: str | None = _setting(
        parse.key, "AWS secret access key, together with the access key ID.", Group.ACCESS, secret=True
    )
    aws_session_token: str | None = _setting(
        parse.key, "AWS session token of temporary keys; only with the key pair.", Group.ACCESS, secret=True
    )
    aws_region: str | None = _setting(
        parse.region, "AWS region of the bucket, where the ambient one is not right.", Group.ACCESS
    )
    storage: str = _setting(
        parse.storage,
        "Where the tables lie: a local directory, or an `s3://` or `gs://` URI. The DuckDB file lies in the "
        "directory; for a bucket, in the cache.",
        Group.FIRST_RUN,
        default="data",
        path=True,
    )
    database_access: Literal["owner", "group"] = _setting(
        parse.one_of("owner", "group"),
        "Who may read the published DuckDB file: `owner`, the user who runs the pipeline, or `group`, the file's group "
        "too. Nobody may write to it.",
        Group.STORAGE,
        default="owner",
    )
    cache: str = _setting(
        parse.local_directory,
        "Local directory for tables in a bucket: copies of data files and of what is published, and temporary files.",
        Group.STORAGE,
        default="data/cache",
        path=True,
    )
    cache_gigabytes: int = _setting(
        parse.gigabytes,
        "Size that the copies of data files may have before those used longest ago are removed.",
        Group.STORAGE,
        default="20",
    )
    memory_gigabytes: int = _setting(
        parse.gigabytes,
        "Memory that a DuckDB query of the metrics may use before it spills to disk. The process needs half a gigabyte "
        "more, and with a million rows a day 1.5 more while it restates six as-of dates.",
        Group.STORAGE,
        default="1",
    )
    spill: str | None = _setting(
        parse.local_directory,
        "Local directory that DuckDB spills to; default: the storage location's work folder.",
        Group.STORAGE,
        path=True,
    )
    resources: str | None = _setting(
        parse.resources,
        "Where the upstream Sigma integration leaves its workbooks and elements: path, `s3://` or `gs://` URI of a "
        "file that ends in `.parquet`, `.pq`, `.csv`, `.ndjson`, `.jsonl` or `.json` (newline-delimited). Without it "
        "the Sigma REST API is read.",
        Group.FIRST_RUN,
        path=True,
    )
    resources_asset: Literal["own", "external"] = _setting(
        parse.one_of("own", "external"),
        "`own` if this code location materializes the asset `sigma_resources`; `external` if another one emits it and "
        "leaves the file that `SIGMA_IMPRESSIONS_RESOURCES` names.",
        Group.RESOURCES,
        default="own",
    )
    members: str | None = _setting(
        parse.members,
        "Where a file with the members of the organization lies, as the one with the resources; or `none`: no "
        "member is read, and none is published. Without it they are read from the Sigma REST API if its "
        "credentials are set.",
        Group.RESOURCES,
        path=True,
    )
    pages: bool = _setting(
        parse.on_or_off,
        "`on` to read which page each element is on where the lists of elements do not say it: one more request to the "
        "Sigma REST API for each workbook with elements, and one for each of its pages.",
        Group.RESOURCES,
        default="off",
    )
    members_shrinkage_percent: int = _setting(
        parse.percent,
        "Share of the members, in percent, that may vanish within a week before the check `members_are_complete` is "
        "yellow.",
        Group.CHECKS,
        default="20",
    )
    sigma_client_id: str | None = _setting(
        parse.key,
        "Client ID of Sigma API credentials, best those of an administrator; together with the next two.",
        Group.FIRST_RUN,
        variable="SIGMA_CLIENT_ID",
        secret=True,
    )
    sigma_client_secret: str | None = _setting(
        parse.key,
        "Client secret of the Sigma API credentials.",
        Group.FIRST_RUN,
        variable="SIGMA_CLIENT_SECRET",
        secret=True,
    )
    sigma_base_url: str | None = _setting(
        parse.base_url,
        "Base URL of Sigma's REST API in your organization's region, for example "
        f"`https://aws-api.sigmacomputing.com`, or the name of the region: "
        f"{', '.join(f'`{name}`' for name in REGIONS)}.",
        Group.FIRST_RUN,
        variable="SIGMA_BASE_URL",
    )
    workbook_observations: bool = _setting(
        parse.on_or_off,
        "`on` to show the usage on the pages of dagster-sigma's workbook assets after each publication.",
        Group.CATALOGS,
        default="off",
    )
    datahub: str | None = _setting(
        parse.datahub,
        "Where the usage is shown in DataHub: the URL of its metadata service, or a local file that ends in `.json`. "
        "Without it nothing is exported there.",
        Group.CATALOGS,
        path=True,
    )
    datahub_token: str | None = _setting(parse.key, "Access token of the DataHub server.", Group.CATALOGS, secret=True)
    datahub_platform_instance: str | None = _setting(
        parse.name, "`platform_instance` in the recipe of DataHub's Sigma source, if it has one.", Group.CATALOGS
    )
    warehouse: str | None = _setting(
        parse.warehouse,
        "Name of the database that the published tables go to after each publication, as dlt names its destinations: "
        f"{', '.join(f'`{name}`' for name in WAREHOUSES)}. Where it is and how one gets in, dlt's own configuration "
        "says. Without it nothing goes there.",
        Group.WAREHOUSE,
    )
    warehouse_dataset: str = _setting(
        parse.dataset,
        "The schema (dataset, in some databases) for the tables; nobody else writes to it.",
        Group.WAREHOUSE,
        default="sigma_impressions",
    )
    warehouse_tables: tuple[str, ...] = _setting(
        parse.warehouse_tables,
        "Comma-separated names of the tables that go there; without it, all: "
        f"{', '.join(f'`{name}`' for name in TABLES)}.",
        Group.WAREHOUSE,
        absent=tuple(TABLES),
    )
    time_zone: str = _setting(
        parse.time_zone, "IANA time zone of timestamps that have no offset.", Group.READING, default="UTC"
    )
    excluded_users: tuple[str, ...] = _setting(
        parse.excluded_users,
        "Comma-separated e-mails or globs (`*` and `?` only) whose rows are skipped, for example `*@bots.example.com`.",
        Group.READING,
        absent=(),
    )
    event_types: tuple[str, ...] = _setting(
        parse.event_types,
        "Comma-separated names or globs (`*` and `?` only), compared without case, of the event types that are views, "
        "for example `view_*`. Rows of other types are skipped, and a file without a column `event_type` is refused. "
        "Without it every row is a view.",
        Group.READING,
        absent=(),
    )
    anonymous_users: Literal["reject", "count"] = _setting(
        parse.one_of("reject", "count"),
        "What a row without a user is: `reject`, or `count` for an impression of nobody, as public embeds have it: "
        "part of every total, of no number of distinct users.",
        Group.READING,
        default="reject",
    )
    file_date_pattern: str | None = _setting(
        parse.file_date_pattern,
        "Regular expression with the named groups `year`, `month` and `day` that reads the file date from a key, for "
        r"example `(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})`. RE2 matches it, in linear time: without "
        r"look-around, back references, `\Z`, atomic groups, possessive quantifiers and conditionals; `\d`, `\w`, `\s` "
        r"and `\b` know ASCII only. Without a pattern the file date is the UTC day of the last-modified time.",
        Group.READING,
    )
    header_aliases: Mapping[str, tuple[str, ...]] = _setting(
        parse.header_aliases,
        "More header names for the columns of an export: comma-separated pairs `column=header name`, for example "
        "`user_email=Login, request_time=Opened At`.",
        Group.READING,
        absent={},
    )
    users: Literal["email", "pseudonym"] = _setting(
        parse.one_of("email", "pseudonym"),
        "How users are stored: `email`, or `pseudonym` for names that only the users key leads back to an address.",
        Group.PRIVACY,
        default="email",
    )
    users_key: str | None = _setting(
        parse.users_key,
        f"Key of the pseudonyms, at least {MIN_USERS_KEY_CHARACTERS} characters; required for them. With another key "
        f"every "
        "user gets another pseudonym.",
        Group.PRIVACY,
        secret=True,
    )
    keep_detail_days: int | None = _setting(
        parse.keep_detail_days,
        f"Days for which single views are kept, {MIN_KEEP_DETAIL_DAYS} or more; a maintenance drops older ones, and "
        "the daily totals stay. Without it they are kept for good.",
        Group.PRIVACY,
    )
    overlapping_exports: Literal["largest", "sum"] = _setting(
        parse.one_of("largest", "sum"),
        "How files that hold the same rows are counted: `largest`, or `sum` for exports known to be disjoint.",
        Group.COUNTING,
        default="largest",
    )
    start_date: date = _setting(
        parse.start_date,
        "First daily partition, as YYYY-MM-DD; set it earlier to backfill older file dates.",
        Group.RUNS,
        default="2026-01-01",
    )
    schedule: str = _setting(
        parse.schedule,
        "When the schedule `daily_scan` starts a run: a cron expression of five fields in numbers, UTC.",
        Group.RUNS,
        default=parse.EVERY_MORNING,
    )
    alert_webhook: str | None = _setting(
        parse.webhook,
        "Where alerts about failed runs and red checks are posted: the URL of an incoming webhook of Slack, or one "
        "that takes the same JSON.",
        Group.RUNS,
        secret=True,
    )
    digest_webhook: str | None = _setting(
        parse.webhook,
        "Where the digest of the week is posted: such a URL too, best that of a channel of those who use Sigma.",
        Group.RUNS,
        secret=True,
    )
    digest_schedule: str = _setting(
        parse.schedule,
        "When the schedule `weekly_digest` posts the digest: a cron expression as above, UTC.",
        Group.RUNS,
        default=parse.EVERY_MONDAY,
    )
    report_url: str | None = _setting(
        parse.link,
        "Where people open the usage report, for a link in the digest: an address that begins with `https://` or "
        "`http://`.",
        Group.RUNS,
    )
    prometheus: str | None = _setting(
        parse.prometheus,
        "Where metrics for operators are written with every publication and every failure: a local file that ends in "
        "`.prom`, in the folder that the textfile collector of Prometheus' node_exporter reads. Without it none are.",
        Group.RUNS,
        path=True,
    )
    rejected_warn_percent: int = _setting(
        parse.percent,
        "Share of rejected rows, in percent of a run's rows, above which the check `rows_are_good` is yellow.",
        Group.CHECKS,
        default="0",
    )
    rejected_error_percent: int = _setting(
        parse.percent, "The same share, above which that check is red.", Group.CHECKS, default="10"
    )
    unmatched_warn_percent: int = _setting(
        parse.percent,
        "Share of impressions without a resource, in percent of those of 60 days, above which the check "
        "`impressions_are_matched` is yellow.",
        Group.CHECKS,
        default="0",
    )
    export_max_age_days: int | None = _setting(
        parse.days,
        "Age in days that the newest export file may have before the check `source_is_fresh` is yellow; default: the "
        "days back. Set it where Sigma exports less than daily.",
        Group.CHECKS,
    )
    resources_max_age_days: int = _setting(
        parse.days,
        "Age in days that the resources may have before the check `resources_are_fresh` is yellow.",
        Group.CHECKS,
        default="7",
    )
    resources_shrinkage_percent: int = _setting(
        parse.percent,
        "Share of the workbooks or elements, in percent, that may vanish within a week before the check "
        "`resources_are_complete` is yellow.",
        Group.CHECKS,
        default="20",
    )
    daily_change_percent: int = _setting(
        parse.change,
        "Change of a day's impressions, in percent of the same weekday's in earlier weeks, above which the check "
        "`daily_impressions_are_usual` is yellow.",
        Group.CHECKS,
        default="70",
    )
    underused_below_users: int = _setting(
        parse.users_count,
        "Distinct users of 60 days below which a workbook or element is called underused; 1: only what nobody viewed.",
        Group.INSIGHTS,
        default=str(UNDERUSED_BELOW_USERS),
    )
    power_user_days: int = _setting(
        parse.active_days,
        f"Active days, of the last {ACTIVITY_DAYS}, from which a user is a power user; more than for a regular one.",
        Group.INSIGHTS,
        default=str(POWER_USER_DAYS),
    )
    regular_user_days: int = _setting(
        parse.active_days, "The same for a regular user.", Group.INSIGHTS, default=str(REGULAR_USER_DAYS)
    )

    def describe(self) -> dict[str, str]:
        """Every setting by name as text that may be shown; of a secret only "set" or "not set"."""
        return {setting.name: _shown(setting, getattr(self, setting.name)) for setting in SETTINGS}


def _shown(setting: Setting, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None or value in ("", (), {}):
        return "not set"
    if setting.secret:
        return "set"
    if isinstance(value, Mapping):
        value = tuple(f"{column}={alias}" for column, aliases in value.items() for alias in aliases)
    return ", ".join(value) if isinstance(value, tuple) else str(value)


SETTINGS: tuple[Setting, ...] = tuple(
    dataclasses.replace(
        field.metadata["setting"],
        name=field.name,
        variable=field.metadata["setting"].variable or f"SIGMA_IMPRESSIONS_{field.name.upper()}",
    )
    for field in dataclasses.fields(Settings)
)
"""All settings, in the order in which the form asks for them."""

BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}
