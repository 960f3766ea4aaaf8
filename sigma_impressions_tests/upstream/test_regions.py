"""What is accepted as the address of Sigma's API."""

from __future__ import annotations

import pytest

from sigma_impressions.upstream.regions import REGIONS, parse_base_url


def test_all_regions_are_known_by_name_and_by_url() -> None:
    assert len(set(REGIONS.values())) == 13
    for name, url in REGIONS.items():
        assert parse_base_url(name) == url
        assert parse_base_url(f" {name.upper().replace('-', '_')} ") == url
        assert parse_base_url(url) == url
        assert parse_base_url(f"{url}/v2/") == url


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("HTTPS://AWS-API.sigmacomputing.com", "https://aws-api.sigmacomputing.com"),
        ("https://proxy.example.com:8443/sigma/v2", "https://proxy.example.com:8443/sigma"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_other_addresses_are_normalized(text: str, base_url: str) -> None:
    assert parse_base_url(text) == base_url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aws-moon", "neither a URL nor the name of a region"),
        ("aws-api.sigmacomputing.com", "neither a URL nor the name of a region"),
        ("https://", "neither a URL"),
        ("https://host:port", "is not a URL"),
        ("https://app.sigmacomputing.com/acme", "web pages, not of its API"),
        ("http://api.sigmacomputing.com", "must begin with https://"),
        ("https://id:secret@api.sigmacomputing.com", "must not hold credentials"),
        ("https://api.sigmacomputing.com?x=1", "must not hold a query"),
    ],
)
def test_what_cannot_be_right_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        parse_base_url(text)
    assert "id:secret" not in str(refused.value)
