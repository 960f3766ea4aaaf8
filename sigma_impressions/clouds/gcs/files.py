"""The files of tables in a Google Cloud Storage bucket, and how `deltalake` opens the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.api_core.exceptions import PreconditionFailed

from sigma_impressions.clouds.gcs.objects import GcsStore
from sigma_impressions.clouds.objects import uri
from sigma_impressions.errors import ObjectChanged


class GcsFiles:
    """`RemoteFiles` over a Google Cloud Storage client."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._bucket = client.bucket(bucket)
        self._client = client
        self.objects = GcsStore(client, bucket)

    def upload(self, file: Path, key: str) -> None:
        """Needs storage.objects.create."""
        # A file's name is made once, so a repeated try stores the same again.
        self._bucket.blob(key).upload_from_filename(str(file), content_type="application/octet-stream")

    def download(self, key: str, file: Path) -> None:
        """Needs storage.objects.get."""
        self._bucket.blob(key).download_to_filename(str(file), raw_download=True)

    def replace(self, file: Path, key: str, version: str | None) -> str:
        """Needs storage.objects.create, and storage.objects.delete where there is a version to replace."""
        blob = self._bucket.blob(key)
        try:
            # Generation 0 is that of no object.
            blob.upload_from_filename(
                str(file), content_type="application/octet-stream", if_generation_match=int(version or 0)
            )
        except PreconditionFailed:
            raise ObjectChanged(f"{uri('gs', self._bucket.name, key)} was overwritten by somebody else") from None
        return str(blob.generation)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Needs storage.objects.list."""
        fields = "items(name,size),nextPageToken"
        return {blob.name: blob.size for blob in self._client.list_blobs(self._bucket, prefix=prefix, fields=fields)}

    def delete(self, key: str) -> None:
        """Needs storage.objects.delete."""
        if blob := self._bucket.get_blob(key):
            blob.delete()


def gcs_options(emulator: str | None) -> dict[str, str]:
    """Options for Google Cloud Storage: none, which means the ambient credentials, or those for an emulator."""
    if not emulator:
        return {}
    url = emulator if "://" in emulator else f"http://{emulator}"
    # The only way in which `deltalake` takes another endpoint: a service account that needs no token.
    account = (
        f'{{"gcs_base_url": "{url.rstrip("/")}", "disable_oauth": true, "client_email": "", "private_key": "", '
        '"private_key_id": ""}'
    )
    return {"google_service_account_key": account, **({"allow_http": "true"} if url.startswith("http://") else {})}
