"""The Google Cloud Storage client, through dagster-gcp, and the credentials that it has."""

from __future__ import annotations

import os
from typing import Any

from google.auth.exceptions import GoogleAuthError

from sigma_impressions.errors import StoreError


def gcs_client() -> Any:
    """A client with the ambient credentials, or an anonymous one for the emulator of `STORAGE_EMULATOR_HOST`.

    Reading objects needs no project; the client only insists on one where the credentials name none. Raises
    `StoreError` if there are no usable credentials.
    """
    # Here, as it brings Dagster along.
    from dagster_gcp.gcs import GCSResource

    project = os.environ.get("GOOGLE_CLOUD_PROJECT")
    if project is None and os.environ.get("STORAGE_EMULATOR_HOST"):
        project = "emulator"
    try:
        return GCSResource(project=project).get_client()
    except (GoogleAuthError, OSError, ValueError) as error:
        # The text of the SDK's error stays out: it may repeat what a key file holds. ValueError: no such JSON.
        raise StoreError(
            f"No usable Google credentials or project were found ({type(error).__name__}). Set "
            "GOOGLE_APPLICATION_CREDENTIALS to a key file, or give the process a service account, and set "
            "GOOGLE_CLOUD_PROJECT if they name no project"
        ) from None


def found_credentials() -> str:
    """Where the credentials come from, without any of them. Raises `StoreError` if there are none."""
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return "none needed for the emulator of STORAGE_EMULATOR_HOST"
    gcs_client()
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    return "the key file of GOOGLE_APPLICATION_CREDENTIALS" if named else "application default credentials"
