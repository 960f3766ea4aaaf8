"""The S3 client, through dagster-aws, and the credentials that it has."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader, create_loader

from sigma_impressions.clouds.s3.objects import client_config
from sigma_impressions.errors import StoreError

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource

    from sigma_impressions.clouds.s3 import S3


@cache
def _resource() -> type[S3Resource]:
    """dagster-aws's S3 resource, with the time-outs and retries that it has no setting for.

    Made here, as it brings Dagster along.
    """
    from dagster_aws.s3 import S3Resource

    class Resource(S3Resource):
        def __repr_args__(self) -> tuple[()]:
            # Its own repr() and str() show the keys.
            return ()

        def get_client(self) -> Any:
            core = botocore.session.Session(profile=self.profile_name)
            session = boto3.session.Session(botocore_session=core)
            # After the session, which adds a folder of its own to the one that is there.
            core.register_component("data_loader", _descriptions(core.get_config_variable("data_path")))
            return session.client(
                "s3",
                region_name=self.region_name,
                aws_access_key_id=self.aws_access_key_id,
                aws_secret_access_key=self.aws_secret_access_key,
                aws_session_token=self.aws_session_token,
                config=client_config(),
            )

    return Resource


@cache
def _descriptions(path: str | None) -> Loader:
    """The SDK's descriptions of services, which each client would read and parse again: most of the time of one."""
    return create_loader(path)


def s3_client(cloud: S3) -> Any:
    """A boto3 client with the keys that are set, or the ambient credentials where none are.

    Raises `StoreError` if the ambient settings do not allow one, for example a profile that does not exist.
    """
    try:
        return _resource()(
            region_name=cloud.aws_region,
            aws_access_key_id=cloud.aws_access_key_id,
            aws_secret_access_key=cloud.aws_secret_access_key,
            aws_session_token=cloud.aws_session_token,
        ).get_client()
    except BotoCoreError as error:
        raise _unusable(error) from None


def found_credentials(cloud: S3) -> str:
    """Where the credentials come from, without any of them. Raises `StoreError` if there are none."""
    if cloud.aws_access_key_id is not None:
        kind = "temporary keys with a session token" if cloud.aws_session_token else "an access key pair"
        return f"{kind} from the settings"
    try:
        found = cloud.session.get_credentials()
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


def current_keys(cloud: S3) -> dict[str, str | None]:
    """The credentials that are valid now, by their names in `deltalake`; None for each if there are none.

    The SDK looks for the ambient ones, so that profiles and single sign-on work as they do for the exports, and
    renews those that expire.
    """
    key_id, secret, token = cloud.aws_access_key_id, cloud.aws_secret_access_key, cloud.aws_session_token
    if key_id is None and (ambient := cloud.session.get_credentials()):
        frozen = ambient.get_frozen_credentials()
        key_id, secret, token = frozen.access_key, frozen.secret_key, frozen.token
    return {"aws_access_key_id": key_id, "aws_secret_access_key": secret, "aws_session_token": token}


def _unusable(error: BotoCoreError) -> StoreError:
    # The text of the SDK's error stays out: it may repeat what a profile holds.
    return StoreError(
        f"The ambient AWS settings cannot be used ({type(error).__name__}). Check AWS_PROFILE, AWS_REGION, "
        "AWS_ENDPOINT_URL_S3 and the shared AWS files, or log in again"
    )
