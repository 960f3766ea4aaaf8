"""What is said of a prefix under which nothing lies: which ones there are, the likeliest first."""

from __future__ import annotations

import pytest

from sigma_impressions.errors import StoreError
from sigma_impressions.exports.near_prefixes import prefixes_instead_of
from sigma_impressions_tests.exports.bucket import Bucket


def bucket_of(*keys: str) -> Bucket:
    bucket = Bucket()
    for key in keys:
        bucket.put(key, b"x")
    return bucket


@pytest.mark.parametrize(
    ("keys", "prefix", "said"),
    [
        (["sigma/a.csv", "sigma-old/a.csv", "x/a.csv"], "Sigma/", "There are 'sigma/', 'sigma-old/', 'x/'."),
        (["a/audit/x.csv", "a/b/x.csv"], "a/Audit/", "There are 'a/audit/', 'a/b/'."),
        (["prod/sigma/x.csv"], "Prod/sigma/", "There is 'prod/'."),
        (["2026-11-20.csv"], "sigma/", "There is '2026-11-20.csv'."),
        ([], "sigma/", "The bucket is empty, as far as it may be listed."),
        (["x\n\u202ey/a.csv"], "sigma/", "There is 'x??y/'."),
        (["ann@example.com/a.csv"], "sigma/", "There is '[address]/'."),
        ([f"{n}/a.csv" for n in range(9)], "sigma/", "There are '0/', '1/', '2/', '3/', '4/' and others."),
    ],
)
def test_the_nearest_names_come_first(keys: list[str], prefix: str, said: str) -> None:
    assert prefixes_instead_of(prefix, bucket_of(*keys)) == said


def test_nothing_is_said_where_listing_is_not_allowed() -> None:
    class Denied(Bucket):
        def below(self, prefix: str) -> list[str]:
            raise StoreError("Access denied")

    assert prefixes_instead_of("sigma/", Denied()) == ""
    assert prefixes_instead_of("", bucket_of()) == ""
