"""What an error means that a library raises at a table in a bucket, by its text: the classes tell too little."""

from __future__ import annotations

import re

_MEANINGS = (
    (
        r"NoSuchBucket|bucket does not exist|bucket was not found|notFound.*bucket",
        "the bucket does not exist. Correct its name in SIGMA_IMPRESSIONS_STORAGE",
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|\b401\b|token request|RefreshError",
        "the credentials were not accepted, or have expired. For s3:// they are "
        "SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID and SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY, or the ambient ones; for "
        "gs:// the application default credentials (GOOGLE_APPLICATION_CREDENTIALS)",
    ),
    (
        r"\b403\b|AccessDenied|Forbidden|necessary privileges",
        "access is denied. The identity needs to list, read, write and delete objects there: s3:ListBucket on the "
        "bucket, s3:GetObject, s3:PutObject, s3:DeleteObject on the prefix; on Google Cloud Storage the role Storage "
        "Object User (roles/storage.objectUser); or is the name of the bucket misspelt?",
    ),
    (
        r"NoCredentials|ProfileNotFound|DefaultCredentialsError|credential provider|Unable to locate credentials",
        "no credentials were found. Set those of the cloud, as for the exports; AWS_PROFILE must name a profile that "
        "exists",
    ),
    (
        r"\b301\b|PermanentRedirect|AuthorizationHeaderMalformed|Missing region|IllegalLocationConstraint",
        "the bucket lies in another region. Set SIGMA_IMPRESSIONS_AWS_REGION, or AWS_REGION, to the bucket's",
    ),
    (r"\b501\b|NotImplemented", "the store does not know conditional writes, which commits and publications need"),
)


_SDKS = ("botocore", "boto3", "s3transfer", "google", "requests", "urllib3")


_ANY_OF_DELTA_LAKE = "DeltaError"
"""Delta Lake's most general class. Conflicts, and what is wrong with a table, have classes of their own; this one also
wraps answers of the store, with their text."""


def meaning(error: Exception) -> str:
    """What is wrong and what to do, without the library's text: it may hold key IDs, tokens or signed URLs."""
    text = f"{type(error).__name__} {error}"
    found = next((meaning for pattern, meaning in _MEANINGS if re.search(pattern, text)), None)
    return found or f"it could not be reached, or gave no proper answer ({type(error).__name__}). Try again"


def is_of_a_store(error: Exception) -> bool:
    """Whether an error comes from the network or the store's answer, by where its class is defined."""
    kind = type(error)
    # An error number means the local disk: it is full, say.
    is_from_the_network = isinstance(error, OSError) and error.errno is None
    return is_from_the_network or kind.__module__.partition(".")[0] in _SDKS or kind.__name__ == _ANY_OF_DELTA_LAKE
