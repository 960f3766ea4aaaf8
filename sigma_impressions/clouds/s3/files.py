"""The files of tables in an S3 bucket, and how `deltalake` opens the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sigma_impressions.clouds.objects import uri
from sigma_impressions.clouds.s3.objects import S3Store, version_of
from sigma_impressions.errors import ObjectChanged, ObjectGone, StoreError

_CONFLICTS = {"ConditionalRequestConflict", "NoSuchKey", "PreconditionFailed"}
"""The codes of an answer to a conditional put that another writer was faster than, or is at it."""


class S3Files:
    """`RemoteFiles` over a boto3 client."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self.objects = S3Store(client, bucket)

    def upload(self, file: Path, key: str) -> None:
        """Needs s3:PutObject."""
        self._client.upload_file(str(file), self._bucket, key)

    def download(self, key: str, file: Path) -> None:
        """Needs s3:GetObject."""
        self._client.download_file(self._bucket, key, str(file))

    def replace(self, file: Path, key: str, version: str | None) -> str:
        """Needs s3:PutObject, and s3:GetObject where there is a version to replace."""
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": f'"{version}"'}
        try:
            # In one request: the SDK's transfers in parts take no condition.
            with file.open("rb") as body:
                answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=body, **condition)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code not in _CONFLICTS:
                raise
            shown = uri("s3", self._bucket, key)
            if code == "PreconditionFailed" and self._version(key) == version:
                raise StoreError(
                    f"The store refuses to replace {shown} at the version that it has (If-Match, If-None-Match), so "
                    "that nobody could publish. Use another store, or a local directory"
                ) from None
            raise ObjectChanged(f"{shown} was overwritten by somebody else") from None
        return version_of(answer.get("ETag", ""))

    def _version(self, key: str) -> str | None:
        try:
            return self.objects.stat(key).version
        except ObjectGone:
            return None

    def sizes(self, prefix: str) -> dict[str, int]:
        """Needs s3:ListBucket."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", ())}

    def delete(self, key: str) -> None:
        """Needs s3:DeleteObject."""
        self._client.delete_object(Bucket=self._bucket, Key=key)


def s3_options(credentials: Mapping[str, str | None], region: str | None, endpoint: str | None) -> dict[str, str]:
    """Options for S3: credentials by their names in `deltalake`, without those that are not set.

    A commit is a conditional put ("only if there is no such object yet"), so that of two writers of one version
    exactly one succeeds.
    """
    options = {
        **credentials,
        "aws_region": region,
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true" if endpoint and endpoint.lower().startswith("http://") else None,
        "aws_conditional_put": "etag",
    }
    return {name: value for name, value in options.items() if value}
