"""Where a URL leads: whether what is sent there stays private."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_private(url: str) -> bool:
    """Whether nobody can read on its way what is sent to a URL: by HTTPS, or within this machine.

    Raises `ValueError` for what is no URL.
    """
    parts = urlsplit(url)
    return parts.scheme.lower() == "https" or _is_this_machine((parts.hostname or "").lower())


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
