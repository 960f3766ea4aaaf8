"""The clouds, by the scheme of their URIs. A new one is a folder beside this file and a line here."""

from __future__ import annotations

from typing import Final

from sigma_impressions.clouds.cloud import Cloud
from sigma_impressions.clouds.gcs import Gcs
from sigma_impressions.clouds.s3 import S3

CLOUDS: Final[dict[str, type[Cloud]]] = {cloud.scheme: cloud for cloud in (S3, Gcs)}


def cloud_of(scheme: str) -> type[Cloud] | None:
    """The cloud whose URIs begin with a scheme, in any spelling; None if there is none."""
    lower = scheme.lower()
    return next((cloud for cloud in CLOUDS.values() if lower in (cloud.scheme, *cloud.spellings)), None)
