"""Where Sigma's REST API is: the hosts of its regions, and how a region's name or a URL becomes a base URL."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from sigma_impressions.urls import is_private

REGIONS: Final = {
    "aws-us-west": "https://aws-api.sigmacomputing.com",
    "aws-us-east": "https://api.us-a.aws.sigmacomputing.com",
    "aws-canada": "https://api.ca.aws.sigmacomputing.com",
    "aws-europe": "https://api.eu.aws.sigmacomputing.com",
    "aws-uk": "https://api.uk.aws.sigmacomputing.com",
    "aws-australia": "https://api.au.aws.sigmacomputing.com",
    "azure-us": "https://api.us.azure.sigmacomputing.com",
    "azure-europe": "https://api.eu.azure.sigmacomputing.com",
    "azure-canada": "https://api.ca.azure.sigmacomputing.com",
    "azure-uk": "https://api.uk.azure.sigmacomputing.com",
    "azure-australia": "https://api.au.azure.sigmacomputing.com",
    "gcp-us": "https://api.sigmacomputing.com",
    "gcp-saudi-arabia": "https://api.sa.gcp.sigmacomputing.com",
}
"""Base URL of every region that Sigma publishes, by a name; in Sigma: Administration > Account > Site."""

_ADVICE = "Write the base URL of your region's API, for example https://aws-api.sigmacomputing.com, or its name: "


def parse_base_url(text: str) -> str:
    """The base URL without `/v2` and without a slash at the end, from a region's name or a URL.

    Raises `ValueError`, whose message says what to write instead and never repeats what may be a secret.
    """
    region = REGIONS.get(text.strip().lower().replace("_", "-").replace(" ", "-"))
    if region:
        return region
    advice = f"{_ADVICE}{', '.join(REGIONS)}"
    try:
        parts = urlsplit(text.strip())
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise ValueError(f"is not a URL. {advice}") from None
    if parts.scheme not in ("https", "http") or not host or not text.isprintable() or " " in text.strip():
        raise ValueError(f"is neither a URL nor the name of a region. {advice}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold credentials; they go to SIGMA_CLIENT_ID and SIGMA_CLIENT_SECRET")
    if parts.query or parts.fragment:
        raise ValueError(f"must not hold a query (?…) or a fragment (#…). {advice}")
    if host == "app.sigmacomputing.com":
        raise ValueError(f"is the address of Sigma's web pages, not of its API. {advice}")
    if not is_private(text.strip()):
        raise ValueError("must begin with https://, or the client secret would be sent in the clear")
    path = parts.path.rstrip("/").removesuffix("/v2").rstrip("/")
    address = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{address}{f':{port}' if port else ''}{path}"
