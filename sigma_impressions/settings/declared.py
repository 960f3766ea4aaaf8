"""The settings of a source: their names, variables, defaults and help."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sigma_impressions.insights.thresholds import (
    ACTIVITY_DAYS,
    POWER_USER_DAYS,
    REGULAR_USER_DAYS,
    UNDERUSED_BELOW_USERS,
)

MAX_DAYS_BACK = 6
"""Most file dates that one run scans, counting today (UTC). A hard cap."""

DEFAULT_DAYS_BACK = 3
"""File dates that one run scans when nothing else is set, counting today (UTC)."""

DEFAULT_START_DATE = date(2026, 1, 1)
"""First daily partition when nothing else is set."""

DEFAULT_KEEP_DAYS = 7
"""Days for which a maintenance keeps older versions of the tables when nothing else is asked."""

DEFAULT_SCHEDULE = "0 6 * * *"
"""When the schedule runs if nothing else is set, as a cron expression in UTC."""

MIN_USERS_KEY_CHARACTERS = 16

MIN_KEEP_DETAIL_DAYS = 35
"""Sigma exports the events of 30 days: what is exported again is recognised by what is kept of them."""


@dataclass(frozen=True)
class Setting:
    """One field of the form "Add source": where its text comes from and what to tell the user about it.

    A `secret` is never shown, only whether it is set. `default` is the text that counts when nothing is set.
    """

    name: str
    environment_variable: str
    secret: bool
    default: str | None
    help: str


def _setting(name: str, help_text: str, *, default: str | None = None, secret: bool = False) -> Setting:
    return Setting(name, f"SIGMA_IMPRESSIONS_{name.upper()}", secret, default, help_text)


SETTINGS: tuple[Setting, ...] = (
    _setting("name", "What this source is called wherever it is shown.", default="Sigma Impressions"),
    _setting(
        "bucket_uri",
        "Where Sigma writes its exports: s3://bucket/prefix or gs://bucket/prefix. Required.",
    ),
    _setting(
        "days_back",
        f"How many file dates one run scans, counting today (UTC): 1 to {MAX_DAYS_BACK}.",
        default=str(DEFAULT_DAYS_BACK),
    ),
    _setting(
        "aws_access_key_id",
        "AWS access key ID, together with the secret access key; without both, the ambient AWS credentials.",
        secret=True,
    ),
    _setting("aws_secret_access_key", "AWS secret access key, together with the access key ID.", secret=True),
    _setting("aws_session_token", "AWS session token of temporary keys; only with the key pair.", secret=True),
    _setting("aws_region", "AWS region of the bucket, where the ambient one is not right."),
    _setting(
        "storage",
        "Where the pipeline keeps its tables: a local directory, or an s3:// or gs:// URI.",
        default="data",
    ),
    _setting(
        "cache",
        "Local directory for a storage location on S3 or GCS: copies of data files, temporary files, and the published "
        "DuckDB file.",
        default="data/cache",
    ),
    _setting(
        "cache_gigabytes",
        "Size that the copies of data files may have before those used longest ago are removed.",
        default="20",
    ),
    _setting(
        "memory_gigabytes",
        "Memory that a DuckDB query of the metrics may use before it spills to disk. The process needs half a gigabyte "
        "more.",
        default="1",
    ),
    _setting(
        "spill",
        "Local directory that DuckDB spills to; default: the storage location's work folder.",
    ),
    _setting(
        "resources",
        "Where the upstream Sigma integration left its resources: path or URI of a Parquet, CSV or "
        "newline-delimited JSON file. Without it the Sigma REST API is read.",
    ),
    _setting(
        "resources_asset",
        "own if this code location materializes the asset sigma_resources; external if another one emits it and "
        "leaves the file that the setting resources names.",
        default="own",
    ),
    Setting(
        "sigma_client_id",
        "SIGMA_CLIENT_ID",
        True,
        None,
        "Client ID of Sigma API credentials, best those of an administrator; together with the next two.",
    ),
    Setting("sigma_client_secret", "SIGMA_CLIENT_SECRET", True, None, "Client secret of the Sigma API credentials."),
    Setting(
        "sigma_base_url",
        "SIGMA_BASE_URL",
        False,
        None,
        "Base URL of Sigma's REST API in your organization's region, or the region's name, for example aws-us-west.",
    ),
    _setting(
        "workbook_observations",
        "on to show the usage on the pages of dagster-sigma's workbook assets after each publication.",
        default="off",
    ),
    _setting(
        "datahub",
        "Where the usage is shown in DataHub: the URL of its metadata service, or a local file that ends in .json. "
        "Without it nothing is exported there.",
    ),
    _setting("datahub_token", "Access token of the DataHub server.", secret=True),
    _setting("datahub_platform_instance", "Platform instance in the recipe of DataHub's Sigma source, if it has one."),
    _setting("time_zone", "IANA time zone of timestamps that have no offset.", default="UTC"),
    _setting(
        "excluded_users",
        "Comma-separated e-mails or globs (* and ? only) whose rows are skipped, for example *@bots.example.com.",
    ),
    _setting(
        "file_date_pattern",
        "Regular expression with the named groups year, month and day that reads the file date from a key; "
        "without it the file date is the UTC day of the last-modified time.",
    ),
    _setting(
        "header_aliases",
        "More header names for the columns of an export, as comma-separated column=header name pairs, for example "
        "user_email=Login, request_time=Opened At.",
    ),
    _setting(
        "users",
        "How users are stored: email, or pseudonym for names that only the users key leads back to an address.",
        default="email",
    ),
    _setting(
        "users_key",
        f"Key of the pseudonyms, at least {MIN_USERS_KEY_CHARACTERS} characters; used only with users=pseudonym. With "
        "another key every user gets another pseudonym.",
        secret=True,
    ),
    _setting(
        "keep_detail_days",
        f"Days for which single views are kept, {MIN_KEEP_DETAIL_DAYS} or more; a maintenance drops older ones, and "
        "the daily totals stay. Without it they are kept for good.",
    ),
    _setting(
        "overlapping_exports",
        "How files that hold the same rows are counted: largest, or sum for exports known to be disjoint.",
        default="largest",
    ),
    _setting("start_date", "First daily partition, as YYYY-MM-DD.", default=DEFAULT_START_DATE.isoformat()),
    _setting(
        "schedule",
        "When the schedule daily_scan starts a run, as a cron expression of five fields in UTC.",
        default=DEFAULT_SCHEDULE,
    ),
    _setting(
        "alert_webhook",
        "Where alerts about failed runs and red checks are posted: the URL of an incoming webhook of Slack, or one "
        "that takes the same JSON.",
        secret=True,
    ),
    _setting(
        "rejected_warn_percent",
        "Share of rejected rows, in percent of a run's rows, above which the check rows_are_good is yellow.",
        default="0",
    ),
    _setting("rejected_error_percent", "The same share, above which that check is red.", default="10"),
    _setting(
        "unmatched_warn_percent",
        "Share of impressions without a resource, in percent of those of 60 days, above which the check "
        "impressions_are_matched is yellow.",
        default="0",
    ),
    _setting(
        "export_max_age_days",
        "Age in days that the newest export file may have before the check source_is_fresh is yellow; default: the "
        "days back.",
    ),
    _setting(
        "resources_max_age_days",
        "Age in days that the resources may have before the check resources_are_fresh is yellow.",
        default="7",
    ),
    _setting(
        "resources_shrinkage_percent",
        "Share of the resources, in percent, that may vanish within a week before the check resources_are_complete "
        "is yellow.",
        default="20",
    ),
    _setting(
        "daily_change_percent",
        "Change of a day's impressions, in percent of the same weekday's in earlier weeks, above which the check "
        "daily_impressions_are_usual is yellow.",
        default="70",
    ),
    _setting(
        "underused_below_users",
        "Distinct users of 60 days below which a workbook or element is called underused.",
        default=str(UNDERUSED_BELOW_USERS),
    ),
    _setting(
        "power_user_days",
        f"Active days, of the last {ACTIVITY_DAYS}, from which a user is a power user.",
        default=str(POWER_USER_DAYS),
    ),
    _setting(
        "regular_user_days",
        "The same for a regular user; fewer than for a power user.",
        default=str(REGULAR_USER_DAYS),
    ),
)
"""All settings, in the order in which the form asks for them."""


class RefusedValue(ValueError):
    """The value of one setting is refused; the text says what to write instead."""
