"""URIs of buckets and of other places, checked before anything is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Literal

from sigma_impressions.settings.declared import RefusedValue

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_S3_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_GCS_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


@dataclass(frozen=True)
class BucketUri:
    """Where Sigma writes its exports. A non-empty `prefix` ends in exactly one slash and begins with none."""

    scheme: Literal["s3", "gs"]
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}"


def parse_bucket_uri(text: str) -> BucketUri:
    """Normalize a bucket URI; parsing the `str()` of the result gives the same again.

    Raises `ValueError`, whose message says what to write instead and never repeats what may be a secret.
    """
    stripped = text.strip()
    if not stripped:
        raise RefusedValue("is not set. Write where Sigma exports to, for example s3://my-bucket/sigma/exports")
    scheme, bucket, path = _split_uri(stripped)
    wildcard = next((c for c in "*[]{}" if c in bucket + path), None)
    if wildcard:
        raise RefusedValue(
            f"must not hold a wildcard ({wildcard}). Write the prefix that all export files share; everything "
            "under it is read, at any depth"
        )
    if bucket and path.lower().endswith((".csv", ".csv.gz")):
        raise RefusedValue(
            "names one file. Write the prefix (the folder) that Sigma writes its export files under, "
            "without the file's name"
        )
    _check_bucket_name(scheme, bucket)
    prefix = path.strip("/")
    return BucketUri(scheme, bucket, f"{prefix}/" if prefix else "")


def _split_uri(text: str) -> tuple[Literal["s3", "gs"], str, str]:
    """Scheme, bucket and path of a URI that is free of credentials, query and fragment.

    Only the scheme is ever repeated in a message: all the rest may be a secret that was pasted by mistake.
    """
    match = _SCHEME.fullmatch(text)
    if match is None:
        raise RefusedValue("must begin with s3:// or gs://. Write s3://bucket/prefix or gs://bucket/prefix")
    scheme, rest = match[1].lower(), match[2]
    if scheme not in ("s3", "gs", "gcs"):
        shown = scheme if len(scheme) <= 10 else "this"
        raise RefusedValue(f"{shown}:// is not supported. Write s3://bucket/prefix or gs://bucket/prefix")
    authority, _, path = rest.partition("/")
    # A secret access key may hold a slash, which cuts `key:secret@bucket` in two before the @: hence the colon.
    if "@" in re.split(r"[?#]", authority, maxsplit=1)[0] or ":" in authority:
        raise RefusedValue(
            "must not hold credentials. Write only the bucket and the prefix; for s3:// the keys go to "
            "SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID and SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY"
        )
    mark = next((c for c in rest if c in "?#"), None)
    if mark == "?":
        raise RefusedValue("must not hold a query (?…). Write the URI without the ? and what follows it")
    if mark == "#":
        raise RefusedValue("must not hold a fragment (#…). Write the URI without the # and what follows it")
    if not authority:
        raise RefusedValue(
            f"names no bucket. Write the bucket's name after {scheme}://, as in {scheme}://bucket/prefix"
        )
    if not rest.isprintable():
        raise RefusedValue("holds a control character, perhaps a line end. Write it again on one line")
    return ("s3" if scheme == "s3" else "gs"), authority, path


def _check_bucket_name(scheme: Literal["s3", "gs"], bucket: str) -> None:
    if scheme == "s3":
        valid = _S3_BUCKET.fullmatch(bucket) is not None and ".." not in bucket
        rule = "3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit"
    else:
        # Only a name with dots, a domain, may be longer than 63 characters, and no part of it may be.
        valid = (
            _GCS_BUCKET.fullmatch(bucket) is not None
            and all(1 <= len(part) <= 63 for part in bucket.split("."))
            and not bucket.startswith("goog")
            and "google" not in bucket
        )
        rule = (
            "3 to 63 lower-case letters, digits, hyphens and underscores (222 with dots), beginning and ending "
            "with a letter or digit, without goog at the beginning or google anywhere"
        )
    if not valid or _is_ip_address(bucket):
        service = "S3" if scheme == "s3" else "Google Cloud Storage"
        raise RefusedValue(
            f"has no valid {service} bucket name after {scheme}://. Write the name as the bucket list of "
            f"{service} shows it: {rule}, no two dots in a row, not an IP address"
        )


def _is_ip_address(name: str) -> bool:
    try:
        IPv4Address(name)
    except AddressValueError:
        return False
    return True


def location(text: str, what: str) -> str:
    """A local path as given, or an `s3://` or `gs://` URI with its scheme normalized."""
    if "://" not in text:
        if not text.isprintable():
            raise RefusedValue(f"holds a control character. Write {what} on one line")
        return text
    match = _SCHEME.fullmatch(text)
    if match is not None and match[1].lower() == "file":
        raise RefusedValue("file:// is not supported. Write the path alone, without file://")
    if match is None or match[1].lower() not in ("s3", "gs", "gcs"):
        raise RefusedValue(f"has a scheme that is not supported. Write {what}: a local path, s3://… or gs://…")
    scheme, bucket, path = _split_uri(text)
    _check_bucket_name(scheme, bucket)
    return f"{scheme}://{bucket}/{path}" if path else f"{scheme}://{bucket}"
