"""Google Cloud Storage."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass

from sigma_impressions.clouds.cloud import Cloud, RemoteFiles
from sigma_impressions.clouds.objects import ObjectStore, host


@dataclass(frozen=True)
class Gcs(Cloud):
    """Google Cloud Storage with the ambient credentials, or the emulator of `STORAGE_EMULATOR_HOST`."""

    scheme = "gs"
    spellings = ("gcs",)  # Sigma's own form writes it so.
    service = "Google Cloud Storage"
    bucket_rule = (
        "3 to 63 lower-case letters, digits, hyphens and underscores (222 with dots), beginning and ending with a "
        "letter or digit, without goog at the beginning or google anywhere"
    )

    @staticmethod
    def is_bucket_name(name: str) -> bool:
        """Only a name with dots, a domain, may be longer than 63 characters."""
        return (
            re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", name) is not None
            and all(1 <= len(part) <= 63 for part in name.split("."))
            and not name.startswith("goog")
            and "google" not in name
        )

    def host(self) -> str:
        emulator = os.environ.get("STORAGE_EMULATOR_HOST")
        with suppress(ValueError):
            if emulator:
                return host(emulator if "//" in emulator else f"//{emulator}")
        return self.service

    def found_credentials(self) -> str:
        from sigma_impressions.clouds.gcs.client import found_credentials

        return found_credentials()

    def objects(self, bucket: str) -> ObjectStore:
        from sigma_impressions.clouds.gcs.client import gcs_client
        from sigma_impressions.clouds.gcs.objects import GcsStore

        return GcsStore(gcs_client(), bucket)

    def files(self, bucket: str) -> RemoteFiles:
        from sigma_impressions.clouds.gcs.client import gcs_client
        from sigma_impressions.clouds.gcs.files import GcsFiles

        return GcsFiles(gcs_client(), bucket)

    def table_options(self) -> dict[str, str]:
        from sigma_impressions.clouds.gcs.files import gcs_options

        return gcs_options(os.environ.get("STORAGE_EMULATOR_HOST"))
