"""Test a source step by step, as the form's "Test & Save" does: one line a step, never a traceback."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sigma_impressions.check.disk import check_disk
from sigma_impressions.check.exports import check_exports
from sigma_impressions.check.instance import check_home, check_instance
from sigma_impressions.check.members import check_members
from sigma_impressions.check.resources import check_resources
from sigma_impressions.check.step import Step
from sigma_impressions.check.storage import check_storage
from sigma_impressions.check.tables import check_tables
from sigma_impressions.check.warehouse import check_warehouse
from sigma_impressions.errors import SettingsError
from sigma_impressions.lake.scratch import temporary_folder
from sigma_impressions.project import dagster_home, project_folder
from sigma_impressions.settings.read import misspelt, read_settings

if TYPE_CHECKING:
    import dagster as dg


def check_source(values: Mapping[str, str | None], instance: dg.DagsterInstance | None = None) -> Iterator[Step]:
    """Try the settings, Dagster, disk, storage, credentials, bucket, newest export file, resources and warehouse.

    `instance` is the one that records this, if one does; otherwise that of `DAGSTER_HOME` is looked at.
    """
    try:
        settings = read_settings(values)
        home = dagster_home(project_folder())
    except SettingsError as error:
        for problem in str(error).splitlines():
            yield Step("settings", False, problem)
        return
    used = f"{settings.bucket_uri}, {settings.days_back} days back, time zone {settings.time_zone}"
    unused = [f"{problem.environment_variable} {problem.message}" for problem in misspelt(os.environ)]
    yield Step("settings", True, ". ".join([used, *unused]))
    try:
        yield check_home(home) if instance is None else check_instance(instance)
        yield check_disk(settings, None if instance else home)
        yield check_storage(settings)
        yield from check_tables(settings)
        with temporary_folder() as folder:
            viewed = yield from check_exports(settings, folder)
            yield from check_resources(settings, viewed)
            yield from check_members(settings)
        yield check_warehouse(settings)
    except OSError as error:
        # What is left of the disk: it was filled meanwhile, say, or there is no folder for temporary files.
        yield Step("disk", False, f"{error.filename or 'a local folder'} cannot be used: {error.strerror or error}")
