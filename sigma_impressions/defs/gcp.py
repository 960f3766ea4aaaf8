"""The Google Cloud Storage client of a source, through dagster-gcp."""

from __future__ import annotations

import os
from typing import Any

from dagster_gcp.gcs import GCSResource


def gcs_client() -> Any:
    """A client with the ambient credentials, or an anonymous one for the emulator of `STORAGE_EMULATOR_HOST`.

    Reading objects needs no project; the client only insists on one where the credentials name none.
    """
    project = os.environ.get("GOOGLE_CLOUD_PROJECT")
    if project is None and os.environ.get("STORAGE_EMULATOR_HOST"):
        project = "emulator"
    return GCSResource(project=project).get_client()
