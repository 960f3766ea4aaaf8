"""Amazon S3, and stores that speak as it does."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sigma_impressions.clouds.cloud import Cloud, RemoteFiles
from sigma_impressions.clouds.objects import ObjectStore, host
from sigma_impressions.errors import StoreError


@dataclass(frozen=True)
class S3(Cloud):
    """S3 with the keys that are set, or with the ambient credentials.

    `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL` lead to another store, as they do for the SDK.
    """

    aws_access_key_id: str | None = field(default=None, repr=False)
    aws_secret_access_key: str | None = field(default=None, repr=False)
    aws_session_token: str | None = field(default=None, repr=False)
    aws_region: str | None = None

    scheme = "s3"
    service = "S3"
    bucket_rule = "3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit"

    @staticmethod
    def is_bucket_name(name: str) -> bool:
        return re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name) is not None and ".." not in name

    def host(self) -> str:
        # What is no endpoint is told when it is used.
        with suppress(StoreError, ValueError):
            if endpoint := _endpoint():
                return host(endpoint)
        return self.service

    def found_credentials(self) -> str:
        from sigma_impressions.clouds.s3.client import found_credentials

        return found_credentials(self)

    def objects(self, bucket: str) -> ObjectStore:
        from sigma_impressions.clouds.s3.objects import S3Store

        return S3Store(self._client(), bucket)

    def files(self, bucket: str) -> RemoteFiles:
        from sigma_impressions.clouds.s3.files import S3Files

        return S3Files(self._client(), bucket)

    def table_options(self) -> dict[str, str]:
        """Ambient credentials that expire are renewed."""
        from sigma_impressions.clouds.s3.client import current_keys
        from sigma_impressions.clouds.s3.files import s3_options

        return s3_options(current_keys(self), self.aws_region or self.session.region_name, _endpoint())

    @cached_property
    def session(self) -> Any:
        """A boto3 session with the ambient settings; made late, since a profile that does not exist is an error."""
        import boto3

        return boto3.session.Session()

    def _client(self) -> Any:
        from sigma_impressions.clouds.s3.client import s3_client

        _endpoint()  # the SDK reads the variables itself
        return s3_client(self)


def fault_of_endpoint(url: str) -> str | None:
    """Why a URL is no endpoint, as the rest of a sentence, also for SDKs that make errors of their own of it."""
    if re.fullmatch(r"https?://[^\s/?#\"'@:]+(:[0-9]{1,5})?(/[^\s?#\"']*)?", url, re.IGNORECASE) is None:
        return (
            "must be a URL such as https://host:9000, without quotes, credentials and query. Correct it, or leave it "
            "unset to use AWS"
        )
    return None


def _endpoint() -> str | None:
    """The endpoint of the environment. Raises `StoreError` if it is none."""
    for variable in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if value := os.environ.get(variable):
            if fault := fault_of_endpoint(value):
                raise StoreError(f"{variable} {fault}")
            return value
    return None
