"""The step of the members: whether they can be read, and what is missing of them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from sigma_impressions.check.step import Step
from sigma_impressions.errors import OperatorError
from sigma_impressions.settings.declared import Settings
from sigma_impressions.upstream.members import probe_members
from sigma_impressions.upstream.members_file import read_members
from sigma_impressions.wiring import members_bucket, members_credentials, members_location


def check_members(settings: Settings) -> Iterator[Step]:
    """Whether the members can be read. Only a file that is named must be there: all works without members."""
    if (where := members_location(settings)) is not None:
        try:
            yield Step("members", True, _found(read_members(where, members_bucket(settings))))
        except OperatorError as error:
            yield Step("members", False, str(error))
    elif (credentials := members_credentials(settings)) is not None:
        try:
            found, missing = probe_members(credentials)
        except OperatorError as error:
            yield Step("members", None, f"no members are read: {error}")
        else:
            listed = [f"the first {found:,} members at {credentials.base_url} can be listed"] if found else []
            yield Step("members", True, ". ".join([*listed, *missing]) or "no members are there")
    else:
        yield Step("members", None, "no members are read: SIGMA_IMPRESSIONS_MEMBERS names no file, and no API is read")


def _found(members: pl.DataFrame) -> str:
    """How many members a file has, and which columns have nothing, for example because they are called otherwise."""
    said = f"{members.height:,} member{'' if members.height == 1 else 's'}"
    columns = ("name", "account_type", "kind", "teams", "created_at")
    absent = [name for name in columns if members[name].null_count() == members.height]
    return f"{said}; there is nothing in {', '.join(absent)}" if absent and members.height else said
