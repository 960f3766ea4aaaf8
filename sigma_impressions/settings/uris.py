"""URIs of buckets and of other places, checked before anything is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from sigma_impressions.clouds.cloud import Cloud
from sigma_impressions.clouds.registry import CLOUDS, cloud_of
from sigma_impressions.errors import RefusedValue
from sigma_impressions.urls import is_private

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_SCHEMES = " or ".join(f"{scheme}://" for scheme in CLOUDS)
_EXAMPLES = " or ".join(f"{scheme}://bucket/prefix" for scheme in CLOUDS)


@dataclass(frozen=True)
class BucketUri:
    """Where Sigma writes its exports. A non-empty `prefix` ends in exactly one slash and begins with none."""

    scheme: str
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
    cloud, bucket, path = _split_uri(stripped)
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
    _check_bucket_name(cloud, bucket)
    prefix = path.strip("/")
    return BucketUri(cloud.scheme, bucket, f"{prefix}/" if prefix else "")


def _split_uri(text: str) -> tuple[type[Cloud], str, str]:
    """Cloud, bucket and path of a URI that is free of credentials, query and fragment.

    Only the scheme is ever repeated in a message: all the rest may be a secret that was pasted by mistake.
    """
    match = _SCHEME.fullmatch(text)
    if match is None:
        raise RefusedValue(f"must begin with {_SCHEMES}. Write {_EXAMPLES}")
    scheme, rest = match[1].lower(), match[2]
    cloud = cloud_of(scheme)
    if cloud is None:
        shown = scheme if len(scheme) <= 10 else "this"
        raise RefusedValue(f"{shown}:// is not supported. Write {_EXAMPLES}")
    authority, _, path = rest.partition("/")
    if authority.lower().startswith("arn:"):
        raise RefusedValue(
            "must not be an ARN. Write the bucket's name, or the alias of the access point (it ends in -s3alias), as "
            f"in {cloud.scheme}://bucket/prefix"
        )
    if re.fullmatch(r"[^@:]*:[0-9]{1,5}", authority):
        raise RefusedValue(
            "must not hold a port. Write the bucket and the prefix; the address of an S3-compatible store goes to "
            "AWS_ENDPOINT_URL_S3"
        )
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
    return cloud, authority, path


def _check_bucket_name(cloud: type[Cloud], bucket: str) -> None:
    if not cloud.is_bucket_name(bucket) or _is_ip_address(bucket):
        raise RefusedValue(
            f"has no valid {cloud.service} bucket name after {cloud.scheme}://. Write the name as the bucket list of "
            f"{cloud.service} shows it: {cloud.bucket_rule}, no two dots in a row, not an IP address"
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
        return text
    match = _SCHEME.fullmatch(text)
    if match is not None and match[1].lower() == "file":
        raise RefusedValue("file:// is not supported. Write the path alone, without file://")
    if match is None or cloud_of(match[1]) is None:
        places = " or ".join(f"{scheme}://…" for scheme in CLOUDS)
        raise RefusedValue(f"has a scheme that is not supported. Write {what}: a local path, {places}")
    cloud, bucket, path = _split_uri(text)
    _check_bucket_name(cloud, bucket)
    return f"{cloud.scheme}://{bucket}/{path}" if path else f"{cloud.scheme}://{bucket}"


def must_be_private(url: str, sent: str) -> None:
    """Refuse a URL of `http://` unless it leads to this machine: what is `sent` there could be read on its way."""
    try:
        private = is_private(url)
    except ValueError:
        raise RefusedValue("is not a URL. Write it again, beginning with https://") from None
    if not private:
        raise RefusedValue(
            f"must begin with https://, or {sent} would be sent in the clear. Where there is no HTTPS, let a proxy "
            "or a tunnel on this machine add it, and write http://localhost and its port"
        )
