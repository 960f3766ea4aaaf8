"""The S3 client of a source, through dagster-aws."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import boto3
import botocore.session
from botocore.exceptions import BotoCoreError
from dagster_aws.s3 import S3Resource

from sigma_impressions.clouds.objects import StoreError
from sigma_impressions.clouds.s3.objects import client_config, parse_time
from sigma_impressions.settings.read import Source


class _S3(S3Resource):
    """dagster-aws's S3 resource, with the time-outs and retries that it has no setting for.

    `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL` are read by the SDK itself.
    """

    def get_client(self) -> Any:
        core = botocore.session.Session(profile=self.profile_name)
        # Most of the time of a listing goes into the general parser of times.
        core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_time)
        session = boto3.session.Session(botocore_session=core)
        return session.client(
            "s3",
            region_name=self.region_name,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
            config=client_config(),
        )


def s3_client(source: Source) -> Any:
    """A boto3 client with the credentials of the source, or the ambient ones where it has none.

    Raises `StoreError` if the ambient settings do not allow one, for example a profile that does not exist.
    """
    try:
        return _S3(
            region_name=source.aws_region,
            aws_access_key_id=source.aws_access_key_id,
            aws_secret_access_key=source.aws_secret_access_key,
            aws_session_token=source.aws_session_token,
        ).get_client()
    except BotoCoreError as error:
        raise _unusable(error) from None


def found_s3_credentials(source: Source) -> str:
    """Where the credentials come from, without any of them. Raises `StoreError` if there are none."""
    if source.aws_access_key_id is not None:
        kind = "temporary keys with a session token" if source.aws_session_token else "an access key pair"
        return f"{kind} from the settings"
    try:
        found = boto3.session.Session().get_credentials()
        if found is not None:
            found.get_frozen_credentials()
    except BotoCoreError as error:
        raise _unusable(error) from None
    if found is None:
        raise StoreError(
            "No AWS credentials were found. Set SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID and "
            "SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY, or give the process ambient AWS credentials (environment, shared "
            "profile, or the role of the machine or container)"
        )
    return f"ambient AWS credentials ({found.method})"


def _unusable(error: BotoCoreError) -> StoreError:
    # The text of the SDK's error stays out: it may repeat what a profile holds.
    return StoreError(
        f"The ambient AWS settings cannot be used ({type(error).__name__}). Check AWS_PROFILE, AWS_REGION, "
        "AWS_ENDPOINT_URL_S3 and the shared AWS files, or log in again"
    )


class S3Credentials:
    """The credentials of `s3_client`, by their names in `deltalake`, and the region.

    The SDK looks for the ambient ones, so that profiles and single sign-on work as they do for the exports, and
    renews those that expire.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @cached_property
    def _session(self) -> Any:
        # Not at once: a profile that does not exist is an error, which is told when the tables are opened.
        return boto3.session.Session()

    @property
    def region(self) -> str | None:
        """The region of the settings, else the ambient one."""
        return self._source.aws_region or self._session.region_name

    def current(self) -> dict[str, str | None]:
        """The credentials that are valid now; None for each if there are none."""
        key_id, secret = self._source.aws_access_key_id, self._source.aws_secret_access_key
        token = self._source.aws_session_token
        if key_id is None and (ambient := self._session.get_credentials()):
            frozen = ambient.get_frozen_credentials()
            key_id, secret, token = frozen.access_key, frozen.secret_key, frozen.token
        return {"aws_access_key_id": key_id, "aws_secret_access_key": secret, "aws_session_token": token}
