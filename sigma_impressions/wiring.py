"""What settings are made into: clouds, stores, tables, clients, rules and limits.

Everything that opens something is opened here. Importing this imports no Dagster and no SDK: dagster-aws and
dagster-gcp make the clients when a bucket is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sigma_impressions.clouds.cloud import Cloud
from sigma_impressions.clouds.objects import ObjectStore, StoredObject, key_of
from sigma_impressions.clouds.registry import CLOUDS
from sigma_impressions.errors import Problem, SettingsError
from sigma_impressions.insights.thresholds import InsightRules
from sigma_impressions.lake.storage import BucketStorage, LocalStorage, Storage
from sigma_impressions.project import local_path
from sigma_impressions.settings.declared import Settings
from sigma_impressions.settings.parse import NONE

if TYPE_CHECKING:
    from sigma_impressions.destinations.datahub import DataHub
    from sigma_impressions.destinations.warehouse.loader import Warehouse
    from sigma_impressions.exports.file_dates import KeyPattern
    from sigma_impressions.exports.reading.rules import ReadingRules
    from sigma_impressions.exports.source import Source
    from sigma_impressions.lake.engine import Limits
    from sigma_impressions.lake.tables import Tables
    from sigma_impressions.upstream.sigma_api import Credentials
    from sigma_impressions.users import Pseudonyms


def cloud(settings: Settings, scheme: str) -> Cloud:
    """The cloud of a scheme, with its settings."""
    kind = CLOUDS[scheme]
    return kind(**{field.name: getattr(settings, field.name) for field in fields(kind)})  # type: ignore[arg-type]


def object_store(settings: Settings) -> ObjectStore:
    """The bucket of the exports. Raises `StoreError` if no client can be made."""
    return cloud(settings, settings.bucket_uri.scheme).objects(settings.bucket_uri.bucket)


def listed(settings: Settings) -> Iterator[StoredObject]:
    """What lies in the bucket now under the prefix of the exports; it is opened and asked at the first step."""
    yield from object_store(settings).list(settings.bucket_uri.prefix)


def source(settings: Settings) -> Source:
    """Whose exports the tables are to hold."""
    from sigma_impressions.exports.source import Source

    return Source(str(settings.bucket_uri), settings.bucket_uri.bucket, settings.bucket_uri.prefix)


def storage(settings: Settings) -> Storage:
    """Where the tables lie; a relative path starts at the project's folder."""
    scheme, is_remote, _ = settings.storage.partition("://")
    if not is_remote:
        return LocalStorage(local_path(settings.storage))
    where = cloud(settings, scheme)
    return BucketStorage(
        settings.storage,
        where.table_options,
        where.files,
        local_path(settings.cache),
        settings.cache_gigabytes * 10**9,
        host=where.host(),
    )


def tables(settings: Settings) -> Tables:
    """The tables under the storage location."""
    from sigma_impressions.lake.tables import Tables

    return Tables(storage(settings))


def query_limits(settings: Settings) -> Limits:
    """What DuckDB may use."""
    from sigma_impressions.lake.engine import Limits

    return Limits(settings.memory_gigabytes, local_path(settings.spill) if settings.spill else None)


def database_mode(settings: Settings) -> int:
    """Who may read the published database."""
    from sigma_impressions.publish.database import GROUP_READS, OWNER_READS

    return GROUP_READS if settings.database_access == "group" else OWNER_READS


def insight_rules(settings: Settings) -> InsightRules:
    """What is called underused, and which users are power and regular ones."""
    return InsightRules(settings.underused_below_users, settings.power_user_days, settings.regular_user_days)


def _required(text: str | None, variable: str, advice: str) -> str:
    """The text of a setting that what is asked for needs. Raises `SettingsError` without it."""
    if text is None:
        raise SettingsError(Problem(variable, f"is not set. {advice}"))
    return text


def resources_location(settings: Settings) -> str:
    """Where the snapshot of `sigma_resources` lies: a path or a URI. Raises `SettingsError` if nothing says it."""
    resources = _required(
        settings.resources,
        "SIGMA_IMPRESSIONS_RESOURCES",
        "Write the path or URI of the Parquet, CSV or newline-delimited JSON file that the "
        "upstream Sigma integration leaves, for example /srv/sigma/sigma_resources.parquet; or set "
        "SIGMA_CLIENT_ID, SIGMA_CLIENT_SECRET and SIGMA_BASE_URL to read the Sigma REST API",
    )
    return resources if "://" in resources else str(local_path(resources))


def resources_modified(settings: Settings) -> datetime | None:
    """When the file with the resources was written, in UTC; None where they are read from Sigma's REST API.

    Raises `OSError` or an error of the object store if the file cannot be looked at.
    """
    if sigma_credentials(settings) is not None:
        return None
    where, bucket = resources_location(settings), resources_bucket(settings)
    if bucket is None:
        return datetime.fromtimestamp(Path(where).stat().st_mtime, UTC)
    return bucket.stat(key_of(where)).last_modified


def resources_bucket(settings: Settings) -> ObjectStore | None:
    """The bucket of the file with the resources; None if that is a local one.

    It is opened with the credentials of the exports, else the ambient ones. Raises `StoreError` if that fails.
    """
    return _bucket(settings, resources_location(settings))


def _bucket(settings: Settings, location: str) -> ObjectStore | None:
    scheme, is_remote, path = location.partition("://")
    return cloud(settings, scheme).objects(path.partition("/")[0]) if is_remote else None


def sigma_credentials(settings: Settings) -> Credentials | None:
    """Where and how the Sigma REST API is read; None if a snapshot file is to be read, or neither is set."""
    return None if settings.resources or settings.resources_asset == "external" else _sigma_api(settings)


def members_location(settings: Settings) -> str | None:
    """Where the file with the members lies: a path or a URI; None if none is named."""
    if settings.members in (None, NONE):
        return None
    return settings.members if "://" in settings.members else str(local_path(settings.members))


def members_bucket(settings: Settings) -> ObjectStore | None:
    """The bucket of the file with the members, as `resources_bucket`; None if that is a local one, or there is none."""
    return _bucket(settings, members_location(settings) or "")


def members_credentials(settings: Settings) -> Credentials | None:
    """Where and how members are read from the Sigma REST API; None if a file is to be read, or no member at all."""
    return _sigma_api(settings) if settings.members is None else None


def members_are_read(settings: Settings) -> bool:
    """Whether there is a source of members. Stored ones are published with one only: no check would tell their age."""
    return members_location(settings) is not None or members_credentials(settings) is not None


def _sigma_api(settings: Settings) -> Credentials | None:
    if not (settings.sigma_base_url and settings.sigma_client_id and settings.sigma_client_secret):
        return None
    from sigma_impressions.upstream.sigma_api import Credentials

    return Credentials(settings.sigma_base_url, settings.sigma_client_id, settings.sigma_client_secret)


def digest_webhook(settings: Settings) -> str:
    """Where the digest is posted. Raises `SettingsError` if nothing says it."""
    return _required(
        settings.digest_webhook,
        "SIGMA_IMPRESSIONS_DIGEST_WEBHOOK",
        "Paste the URL of an incoming webhook of Slack, beginning with https://; without one "
        "sigma-impressions digest prints the digest",
    )


def datahub_target(settings: Settings) -> DataHub:
    """Where the usage goes in DataHub. Raises `SettingsError` if nothing says it."""
    from sigma_impressions.destinations.datahub import DataHub

    datahub = _required(
        settings.datahub,
        "SIGMA_IMPRESSIONS_DATAHUB",
        "Write the URL of DataHub's metadata service, for example "
        "https://datahub.example.com:8080, or the path of a local file that ends in .json",
    )
    target = DataHub(datahub, settings.datahub_token, settings.datahub_platform_instance)
    return target if target.is_server else replace(target, target=str(local_path(datahub)))


def warehouse(settings: Settings) -> Warehouse:
    """The warehouse that the published tables go to. Raises `SettingsError` if nothing says it."""
    from sigma_impressions.destinations.warehouse.loader import Warehouse

    destination = _required(
        settings.warehouse,
        "SIGMA_IMPRESSIONS_WAREHOUSE",
        "Write the name of one of dlt's destinations, for example postgres, and give dlt its "
        "credentials, for example in DESTINATION__POSTGRES__CREDENTIALS",
    )
    return Warehouse(destination, settings.warehouse_dataset)


def metrics_file(settings: Settings) -> Path:
    """The file with the metrics for operators. Raises `SettingsError` if nothing says it."""
    file = _required(
        settings.prometheus,
        "SIGMA_IMPRESSIONS_PROMETHEUS",
        "Write the path of a file that ends in .prom, in the folder that the textfile collector of node_exporter reads",
    )
    return local_path(file)


def reading_rules(settings: Settings) -> ReadingRules:
    """How export files are read, as far as the settings decide it."""
    from sigma_impressions.exports.reading.rules import ReadingRules

    return ReadingRules(
        settings.time_zone,
        settings.excluded_users,
        settings.header_aliases,
        pseudonyms(settings),
        settings.event_types,
        settings.anonymous_users == "count",
    )


def pseudonyms(settings: Settings) -> Pseudonyms | None:
    """What users become; None if their addresses are kept."""
    from sigma_impressions.users import Pseudonyms

    return Pseudonyms(settings.users_key) if settings.users == "pseudonym" and settings.users_key else None


def file_date_pattern(settings: Settings) -> KeyPattern | None:
    """The pattern that reads the file date from a key, if one is set."""
    from sigma_impressions.exports.file_dates import KeyPattern

    return KeyPattern(settings.file_date_pattern) if settings.file_date_pattern else None
