"""What every cloud offers: the objects of a bucket, the files of tables in one, and how libraries open both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Protocol

from sigma_impressions.clouds.objects import ObjectStore
from sigma_impressions.quiet import without_debug_lines


class RemoteFiles(Protocol):
    """What a bucket's SDK has to do for the files of tables; keys are whole object names."""

    @property
    def objects(self) -> ObjectStore:
        """The same bucket, to read an object at one version."""

    def upload(self, file: Path, key: str) -> None:
        """Store a local file; the object appears when it is complete."""

    def download(self, key: str, file: Path) -> None:
        """Copy an object to a local file."""

    def replace(self, file: Path, key: str, version: str | None) -> str:
        """Store a local file in the place of an object's version, or where there is no object: None.

        The new version. Raises `ObjectChanged` if the object is at another version, or is not there any more.
        """

    def sizes(self, prefix: str) -> dict[str, int]:
        """The objects under a prefix, with their bytes."""

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""


class Cloud(ABC):
    """A cloud, opened with the settings that the fields of its class name.

    Making one loads no SDK and asks for nothing; every method that opens a client raises `StoreError` if the
    credentials or the ambient settings do not allow one.
    """

    scheme: ClassVar[str]
    """What its URIs begin with."""

    spellings: ClassVar[tuple[str, ...]] = ()
    """Other schemes that are taken for it."""

    service: ClassVar[str]
    """What it is called."""

    bucket_rule: ClassVar[str]
    """What the names of its buckets are, in words."""

    def __post_init__(self) -> None:
        """Before any credentials are looked for, which the SDKs log as well."""
        without_debug_lines()

    @staticmethod
    @abstractmethod
    def is_bucket_name(name: str) -> bool:
        """Whether a bucket may be called so."""

    def host(self) -> str:
        """Who answers, for messages: the service, or the host that the environment puts in its place."""
        return self.service

    @abstractmethod
    def found_credentials(self) -> str:
        """Where the credentials come from, without any of them. Raises `StoreError` if there are none."""

    @abstractmethod
    def objects(self, bucket: str) -> ObjectStore:
        """A bucket of exports."""

    @abstractmethod
    def files(self, bucket: str) -> RemoteFiles:
        """A bucket of tables."""

    @abstractmethod
    def table_options(self) -> dict[str, str]:
        """The options with which `deltalake` opens a table now; they may hold secrets."""
