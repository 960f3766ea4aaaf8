"""The source as a Dagster resource: settings from the environment, and what is made of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from sigma_impressions.clouds.objects import ObjectStore
from sigma_impressions.destinations.datahub import DataHub
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.insights.thresholds import InsightRules
from sigma_impressions.lake.engine import Limits
from sigma_impressions.lake.storage import BucketStorage, GcsFiles, RemoteFiles, S3Files, gcs_options, s3_options
from sigma_impressions.lake.tables import Tables
from sigma_impressions.project import project_folder
from sigma_impressions.settings.declared import SETTINGS
from sigma_impressions.settings.read import Problem, SettingsError, Source, read_source
from sigma_impressions.upstream.sigma_api import Credentials
from sigma_impressions.users import Pseudonyms

_HELP = {setting.name: setting.help for setting in SETTINGS}


def _field(name: str) -> Any:
    return Field(default=None, description=_HELP[name])


class SigmaSource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the Sigma exports lie and how they are read; every value is text, as the environment gives it.

    Values are checked when a run uses them, so that a code location with nothing set, or with a mistake, loads.
    """

    name: str | None = _field("name")
    bucket_uri: str | None = _field("bucket_uri")
    days_back: str | None = _field("days_back")
    aws_access_key_id: str | None = _field("aws_access_key_id")
    aws_secret_access_key: str | None = _field("aws_secret_access_key")
    aws_session_token: str | None = _field("aws_session_token")
    aws_region: str | None = _field("aws_region")
    storage: str | None = _field("storage")
    cache: str | None = _field("cache")
    cache_gigabytes: str | None = _field("cache_gigabytes")
    memory_gigabytes: str | None = _field("memory_gigabytes")
    spill: str | None = _field("spill")
    resources: str | None = _field("resources")
    resources_asset: str | None = _field("resources_asset")
    sigma_client_id: str | None = _field("sigma_client_id")
    sigma_client_secret: str | None = _field("sigma_client_secret")
    sigma_base_url: str | None = _field("sigma_base_url")
    workbook_observations: str | None = _field("workbook_observations")
    datahub: str | None = _field("datahub")
    datahub_token: str | None = _field("datahub_token")
    datahub_platform_instance: str | None = _field("datahub_platform_instance")
    time_zone: str | None = _field("time_zone")
    excluded_users: str | None = _field("excluded_users")
    file_date_pattern: str | None = _field("file_date_pattern")
    header_aliases: str | None = _field("header_aliases")
    users: str | None = _field("users")
    users_key: str | None = _field("users_key")
    keep_detail_days: str | None = _field("keep_detail_days")
    overlapping_exports: str | None = _field("overlapping_exports")
    start_date: str | None = _field("start_date")
    schedule: str | None = _field("schedule")
    alert_webhook: str | None = _field("alert_webhook")
    rejected_warn_percent: str | None = _field("rejected_warn_percent")
    rejected_error_percent: str | None = _field("rejected_error_percent")
    unmatched_warn_percent: str | None = _field("unmatched_warn_percent")
    export_max_age_days: str | None = _field("export_max_age_days")
    resources_max_age_days: str | None = _field("resources_max_age_days")
    resources_shrinkage_percent: str | None = _field("resources_shrinkage_percent")
    daily_change_percent: str | None = _field("daily_change_percent")
    underused_below_users: str | None = _field("underused_below_users")
    power_user_days: str | None = _field("power_user_days")
    regular_user_days: str | None = _field("regular_user_days")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> SigmaSource:
        """A source whose set values are read from the environment when a run starts.

        Only the variables that are set become `EnvVar`s: Dagster refuses a run for one that is not, before we
        could say what to set.
        """
        present = os.environ if environ is None else environ
        return cls(
            **{
                setting.name: dg.EnvVar(setting.environment_variable)
                for setting in SETTINGS
                if present.get(setting.environment_variable, "").strip()
            }
        )

    def source(self) -> Source:
        """The validated settings. Raises `SettingsError` that lists every problem and what to write instead."""
        return read_source(self.values())

    def values(self) -> dict[str, str | None]:
        """The text of every setting by its name, as `read_source` takes it."""
        return {setting.name: getattr(self, setting.name) for setting in SETTINGS}


def object_store(source: Source) -> ObjectStore:
    """The bucket of the source, through dagster-aws or dagster-gcp.

    Imported here because each of them takes about a second to import and a source needs one only.
    """
    if source.bucket_uri.scheme == "s3":
        from sigma_impressions.clouds.s3.client import s3_client
        from sigma_impressions.clouds.s3.objects import S3Store

        return S3Store(s3_client(source), source.bucket_uri.bucket)
    from sigma_impressions.clouds.gcs.client import gcs_client
    from sigma_impressions.clouds.gcs.objects import GcsStore

    return GcsStore(gcs_client(), source.bucket_uri.bucket)


def found_credentials(source: Source) -> str:
    """Where the credentials for the bucket come from, without any of them. Raises `StoreError` if there are none."""
    if source.bucket_uri.scheme == "s3":
        from sigma_impressions.clouds.s3.client import found_s3_credentials

        return found_s3_credentials(source)
    from sigma_impressions.clouds.gcs.client import found_gcs_credentials

    return found_gcs_credentials()


def tables(source: Source) -> Tables:
    """The tables under the storage location; a relative path starts at the project's folder."""
    if "://" not in source.storage:
        return Tables(project_folder() / Path(source.storage).expanduser())
    storage = BucketStorage(
        source.storage,
        _delta_options(source),
        partial(_storage_files, source),
        project_folder() / Path(source.cache).expanduser(),
        source.cache_gigabytes * 10**9,
    )
    return Tables(storage)


def query_limits(source: Source) -> Limits:
    """What DuckDB may use; a relative path starts at the project's folder."""
    spill_to = project_folder() / Path(source.spill).expanduser() if source.spill else None
    return Limits(source.memory_gigabytes, spill_to)


def insight_rules(source: Source) -> InsightRules:
    """What is called underused, and which users are power and regular ones."""
    return InsightRules(source.underused_below_users, source.power_user_days, source.regular_user_days)


def _delta_options(source: Source) -> Callable[[], dict[str, str]]:
    if not source.storage.startswith("s3://"):
        return partial(gcs_options, os.environ.get("STORAGE_EMULATOR_HOST"))
    from sigma_impressions.clouds.s3.client import S3Credentials

    credentials = S3Credentials(source)
    return lambda: s3_options(credentials.current(), credentials.region, _s3_endpoint())


def _storage_files(source: Source, bucket: str) -> RemoteFiles:
    """The storage location through the same clients as the exports."""
    if source.storage.startswith("s3://"):
        from sigma_impressions.clouds.s3.client import s3_client

        return S3Files(s3_client(source), bucket)
    from sigma_impressions.clouds.gcs.client import gcs_client

    return GcsFiles(gcs_client(), bucket)


def _s3_endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def resources_location(source: Source) -> str:
    """Where the snapshot of `sigma_resources` lies; a relative path starts at the project's folder."""
    if source.resources is None:
        raise SettingsError(
            (
                Problem(
                    "SIGMA_IMPRESSIONS_RESOURCES",
                    "is not set. Write the path or URI of the Parquet, CSV or newline-delimited JSON file that the "
                    "upstream Sigma integration leaves, for example /srv/sigma/sigma_resources.parquet; or set "
                    "SIGMA_CLIENT_ID, SIGMA_CLIENT_SECRET and SIGMA_BASE_URL to read the Sigma REST API",
                ),
            )
        )
    if "://" in source.resources:
        return source.resources
    return str(project_folder() / Path(source.resources).expanduser())


def resources_modified(source: Source) -> datetime | None:
    """When the file with the resources was written, in UTC; None where they are read from Sigma's REST API.

    Raises `OSError` or an error of the object store if the file cannot be looked at.
    """
    if sigma_credentials(source) is not None:
        return None
    where = resources_location(source)
    if "://" not in where:
        return datetime.fromtimestamp(Path(where).stat().st_mtime, UTC)
    bucket, _, key = where.partition("://")[2].partition("/")
    if where.startswith("s3://"):
        from sigma_impressions.clouds.s3.client import s3_client
        from sigma_impressions.clouds.s3.objects import S3Store

        return S3Store(s3_client(source), bucket).stat(key).last_modified
    from sigma_impressions.clouds.gcs.client import gcs_client
    from sigma_impressions.clouds.gcs.objects import GcsStore

    return GcsStore(gcs_client(), bucket).stat(key).last_modified


def sigma_credentials(source: Source) -> Credentials | None:
    """Where and how the Sigma REST API is read; None if a snapshot file is to be read, or neither is set."""
    if source.resources or source.resources_asset == "external":
        return None
    if not (source.sigma_base_url and source.sigma_client_id and source.sigma_client_secret):
        return None
    return Credentials(source.sigma_base_url, source.sigma_client_id, source.sigma_client_secret)


def datahub_target(source: Source) -> DataHub:
    """Where the usage goes in DataHub; a relative path starts at the project's folder."""
    if source.datahub is None:
        raise SettingsError(
            (
                Problem(
                    "SIGMA_IMPRESSIONS_DATAHUB",
                    "is not set. Write the URL of DataHub's metadata service, for example "
                    "https://datahub.example.com:8080, or the path of a local file that ends in .json",
                ),
            )
        )
    target = DataHub(source.datahub, source.datahub_token, source.datahub_platform_instance)
    if target.is_server:
        return target
    return replace(target, target=str(project_folder() / Path(source.datahub).expanduser()))


def reading_rules(source: Source) -> ReadingRules:
    """How export files are read, as far as the settings decide it."""
    return ReadingRules(source.time_zone, source.excluded_users, source.header_aliases, pseudonyms(source))


def pseudonyms(source: Source) -> Pseudonyms | None:
    """What users become; None if their addresses are kept."""
    return Pseudonyms(source.users_key) if source.users == "pseudonym" and source.users_key else None


def file_date_pattern(source: Source) -> re.Pattern[str] | None:
    """The compiled pattern that reads the file date from a key, if one is set."""
    return re.compile(source.file_date_pattern) if source.file_date_pattern else None


def snapshot_storage_options(source: Source, where: str) -> dict[str, str]:
    """Credentials for a snapshot file on S3: those of the source, else the ambient ones."""
    if not where.startswith("s3://"):
        return {}
    options = {
        "aws_access_key_id": source.aws_access_key_id,
        "aws_secret_access_key": source.aws_secret_access_key,
        "aws_session_token": source.aws_session_token,
        "aws_region": source.aws_region,
        "aws_endpoint_url": _s3_endpoint(),
    }
    return {name: value for name, value in options.items() if value}
