"""The demo in a PostgreSQL: every as-of date of 70 days, a late file, somebody forgotten, and 20 killed exports."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.metrics.fingerprints import built_as_of_dates
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.destinations.warehouse.published import assert_holds, published
from sigma_impressions_tests.metrics.captured import capture
from sigma_impressions_tests.metrics.reference import Row
from sigma_impressions_tests.servers.processes import Machine, command, sigma_impressions

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

DATASET = "sigma_impressions"
KILLS = 20


def test_the_demo_is_in_the_warehouse_whatever_happens(tmp_path: Path, postgres_url: str) -> None:
    demo = sigma_impressions("demo", "--no-ui", env=environment(tmp_path, {}))
    assert demo.returncode == 0, demo.stderr
    storage = tmp_path / "data" / "demo" / "storage"
    settings = {
        "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://sigma-exports/audit-logs",
        "SIGMA_IMPRESSIONS_STORAGE": str(storage),
        "SIGMA_IMPRESSIONS_MEMBERS": "members.csv",
        "SIGMA_IMPRESSIONS_WAREHOUSE": "postgres",
        "DESTINATION__POSTGRES__CREDENTIALS": postgres_url,
    }
    tables, machine, rng = Tables(storage), Machine(tmp_path, settings), random.Random(0)

    def execute(query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(postgres_url) as connection:
            return connection.execute(query.encode()).fetchall()

    def forget_days(share: float) -> None:
        """Let the registry say less than there is."""
        with psycopg.connect(postgres_url) as connection:
            connection.execute(f"DELETE FROM {DATASET}.loaded_days WHERE random() < {share}".encode())

    def assert_exported() -> str:
        done = sigma_impressions("export", "warehouse", env=environment(tmp_path, settings))
        assert done.returncode == 0, done.stderr
        days = built_as_of_dates(tables)
        assert len(days) >= 70
        assert_holds(execute, DATASET, published(tables, days))
        parts = execute(f"SELECT table_name, day, count(*) FROM {DATASET}.loaded_days GROUP BY 1, 2")
        assert {count for *_, count in parts} == {1}
        return done.stdout

    killed = 0
    while killed < KILLS:
        if machine.kill(command("export", "warehouse"), rng.uniform(1, 12)):
            killed += 1
        else:
            forget_days(0.3)
    print(assert_exported())

    day = max(built_as_of_dates(tables)) - timedelta(days=9)
    late = [Row(at(day), "late@example.com", "a workbook of nobody", None, 7)]
    capture(tables, "late", late, day + timedelta(days=9), at(day + timedelta(days=9)))
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [])
    print(assert_exported())
    assert dict(execute(f"SELECT table_name, count(*) FROM {DATASET}.loaded_days GROUP BY 1"))["daily_impressions"] > 70

    ((user,),) = execute(f"SELECT user_email FROM {DATASET}.user_activity GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")
    assert sigma_impressions("forget", user, env=environment(tmp_path, settings)).returncode == 0
    print(assert_exported())
    with psycopg.connect(postgres_url) as connection:
        named = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname LIKE 'sigma_impressions%'"
        ).fetchall()
        for schema, name in named:
            found = connection.execute(
                f'SELECT count(*) FROM "{schema}"."{name}" AS r WHERE r::text LIKE %s'.encode(), [f"%{user}%"]
            ).fetchall()
            assert found == [(0,)], (schema, name)
    for path in (storage / ".work").rglob("*"):
        assert not path.is_file() or user.encode() not in path.read_bytes(), path


def at(day: date) -> datetime:
    return datetime.combine(day, time(9), UTC)
