"""A bucket with objects that the store lists and does not give: the others count, on S3 and on GCS."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import duckdb
import pytest
from click.testing import CliRunner, Result

from sigma_impressions.cli import main
from sigma_impressions_tests.clouds.http_stub import Answer, Request, http_stub
from sigma_impressions_tests.commands import add_instance

pytestmark = pytest.mark.slow

DAY, NEXT_DAY = "2026-11-20", "2026-11-21"
MODIFIED = datetime(2026, 11, 22, 6, tzinfo=UTC)


def export(day: str, user: str) -> bytes:
    return f"request_time,user_email,workbook_url_id\n{day} 10:00:00,{user}@example.com,wb1\n".encode()


@dataclass
class Bucket:
    """A bucket that answers as S3 or as GCS does; of the `closed` keys with what stands there."""

    objects: dict[str, bytes] = field(default_factory=dict)
    closed: dict[str, Answer] = field(default_factory=dict)
    gets: list[str] = field(default_factory=list)

    def s3(self, request: Request) -> Answer:
        url = urlsplit(request.path)
        if "list-type" in parse_qs(url.query):
            contents = "".join(
                f"<Contents><Key>{escape(key)}</Key><ETag>&quot;{self._etag(key)}&quot;</ETag>"
                f"<Size>{len(data)}</Size><LastModified>{MODIFIED:%Y-%m-%dT%H:%M:%SZ}</LastModified></Contents>"
                for key, data in sorted(self.objects.items())
            )
            return Answer(200, f"<ListBucketResult><Name>b</Name>{contents}</ListBucketResult>".encode())
        key = unquote(url.path).removeprefix("/exports/")
        return self._given(key, {"ETag": f'"{self._etag(key)}"', "Last-Modified": format_datetime(MODIFIED, True)})

    def gcs(self, request: Request) -> Answer:
        url = urlsplit(request.path)
        name = unquote(url.path.partition("/b/exports/o/")[2])
        if name:
            return self._given(name, {"Content-Type": "text/csv"})
        items = [
            {"name": key, "generation": "1", "size": str(len(data)), "updated": f"{MODIFIED:%Y-%m-%dT%H:%M:%SZ}"}
            for key, data in sorted(self.objects.items())
        ]
        return Answer(200, json.dumps({"kind": "storage#objects", "items": items}).encode())

    def _given(self, key: str, headers: dict[str, str]) -> Answer:
        self.gets.append(key)
        return self.closed.get(key) or Answer(200, self.objects[key], headers)

    def _etag(self, key: str) -> str:
        return hashlib.md5(self.objects[key]).hexdigest()


def s3_error(code: str) -> Answer:
    return Answer(403, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())


DENIED = Answer(403, b'{"error": {"code": 403, "message": "no"}}', {"Content-Type": "application/json"})


@contextmanager
def source(bucket: Bucket, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of a project in `folder` whose exports lie in the bucket."""
    resources = folder / "resources.csv"
    resources.write_text("resource_type,workbook_url_id\nsigma_workbook,wb1\n", encoding="utf-8")
    add_instance(folder / "dagster_home")
    with http_stub(bucket.s3 if kind == "s3" else bucket.gcs) as stub:
        settings = {
            "SIGMA_IMPRESSIONS_PROJECT": str(folder),
            "DAGSTER_HOME": str(folder / "dagster_home"),
            "SIGMA_IMPRESSIONS_RESOURCES": str(resources),
            "SIGMA_IMPRESSIONS_FILE_DATE_PATTERN": r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})",
            "SIGMA_IMPRESSIONS_BUCKET_URI": f"{'s3' if kind == 's3' else 'gs'}://exports/sigma",
            **({"AWS_ENDPOINT_URL_S3": stub.url} if kind == "s3" else {"STORAGE_EMULATOR_HOST": stub.url}),
        }
        if kind == "s3":
            for name, value in (("ACCESS_KEY_ID", "AKIAEXAMPLE"), ("SECRET_ACCESS_KEY", "x" * 20), ("REGION", "eu")):
                settings[f"SIGMA_IMPRESSIONS_AWS_{name}"] = value
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield


def scan(day: str) -> Result:
    return CliRunner().invoke(main, ["backfill", "--from", day, "--to", day])


def counted(folder: Path) -> int:
    with duckdb.connect(str(folder / "data" / "sigma_impressions.duckdb"), read_only=True) as connection:
        ((total,),) = connection.execute("SELECT sum(total_impressions_60d) FROM resource_impressions").fetchall()
        return int(total)


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_the_others_count_and_their_own_day_tries_again(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {f"sigma/{DAY} {n}.csv": export(DAY, f"u{n}") for n in range(10)}
    first, last = f"sigma/{DAY} -archived.csv", f"sigma/{DAY} denied.csv"
    bucket = Bucket({**good, first: export(DAY, "archived"), last: export(DAY, "denied")})
    bucket.closed = (
        {first: s3_error("InvalidObjectState"), last: s3_error("AccessDenied")}
        if kind == "s3"
        else {first: DENIED, last: DENIED}
    )
    with source(bucket, kind, tmp_path, monkeypatch):
        result = scan(DAY)
        assert result.exit_code == 0, result.output
        assert counted(tmp_path) == 10
        (said,) = [line for line in result.output.splitlines() if "objects_were_read of " in line]
        assert first in said
        assert last in said
        assert "10 (0 refused), 2 could not be read" in result.output

        # Another day neither tries nor fails.
        bucket.objects[f"sigma/{NEXT_DAY} a.csv"] = export(NEXT_DAY, "a")
        bucket.gets.clear()
        result = scan(NEXT_DAY)
        assert result.exit_code == 0, result.output
        assert bucket.gets == [f"sigma/{NEXT_DAY} a.csv"]
        assert "objects_were_read" not in result.output
        assert "files_are_readable: 2 of 13 files could not be read" in result.output
        assert counted(tmp_path) == 11

        # Once they can be read, the next run over their day counts them.
        del bucket.closed[first]
        bucket.gets.clear()
        result = scan(DAY)
        assert (result.exit_code, sorted(bucket.gets)) == (0, [first, last])
        assert counted(tmp_path) == 12
        bucket.closed.clear()
        assert scan(DAY).exit_code == 0
        assert counted(tmp_path) == 13


def test_a_day_of_which_nothing_can_be_read_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = f"sigma/{DAY} a.csv"
    bucket = Bucket({key: export(DAY, "a")}, {key: s3_error("InvalidObjectState")})
    with source(bucket, "s3", tmp_path, monkeypatch):
        result = scan(DAY)
        assert result.exit_code == 1
        assert "None of the 1 export files of these days could be read" in result.output
        assert "archive storage class" in result.output
        # Nor does it stop a run over another day.
        bucket.objects[f"sigma/{NEXT_DAY} a.csv"] = export(NEXT_DAY, "a")
        assert scan(NEXT_DAY).exit_code == 0
        assert counted(tmp_path) == 1
