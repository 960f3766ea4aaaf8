"""The whole deployment on this machine, over generated exports, for trying: see docs/deploy-celery.md.

    .venv/bin/python deploy/celery/try.py [run|step]

Redis and PostgreSQL from the system's packages, an S3 server, code server, webserver, daemon and two workers, each with
folders of its own below one that is gone at the end. Ctrl-C ends everything.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sigma_impressions.demo.generate import export_period, last_export_day, resources
from sigma_impressions.demo.object_store import EmbeddedObjectStore
from sigma_impressions.interrupts import interruptible
from sigma_impressions_tests.servers.cluster import USAGE, Cluster, filled
from sigma_impressions_tests.servers.postgres import postgres_programs, running_postgres
from sigma_impressions_tests.servers.redis import running_redis

DAYS = 30


def main(arguments: list[str]) -> str | int:
    """Start everything and wait; what is wrong, or 0."""
    task = arguments[0] if arguments else "run"
    redis, postgres = shutil.which("redis-server"), postgres_programs()
    if task not in ("run", "step") or len(arguments) > 1:
        return "Say what a task of a worker is: run, or step"
    if redis is None or postgres is None:
        return "Redis and PostgreSQL are needed. Debian and Ubuntu: apt-get install redis-server postgresql"
    with interruptible(), ExitStack() as running:
        try:
            folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="sigma-impressions-")))
            print("Starting Redis, PostgreSQL and an S3 server ...", flush=True)
            store = running.enter_context(EmbeddedObjectStore(folder / "s3"))
            broker = running.enter_context(running_redis(redis))
            database = running.enter_context(running_postgres(postgres)).new_database()
            last = last_export_day(datetime.now(UTC))
            settings = filled(store, folder, export_period(last, DAYS), resources())
            settings["SIGMA_IMPRESSIONS_START_DATE"] = str(last - timedelta(days=DAYS - 1))
            cluster = running.enter_context(Cluster(folder, task, broker, database, settings))
            print("Starting code server, webserver, daemon and two workers ...", flush=True)
            for name in ("worker-1", "worker-2"):
                cluster.start_worker(name)
            cluster.start_control()
            cluster.switch_on("new_export_files")
            print(
                f"""
The Dagster UI: {cluster.url}
  The sensor new_export_files is on: within a minute or two it asks for the last six days. There are exports of
  {DAYS} days: for the others select all assets, and materialize all partitions.
  Logs of the processes: {folder}/*/log
  Database and report will lie in s3://{USAGE}/tables. To look into it:
    export AWS_ENDPOINT_URL={store.endpoint_url} AWS_REGION={store.region}
    export AWS_ACCESS_KEY_ID={store.access_key_id} AWS_SECRET_ACCESS_KEY={store.secret_access_key}
Ctrl-C ends everything, and nothing of it is kept.""",
                flush=True,
            )
            while True:
                cluster.require_alive()
                time.sleep(1)
        except KeyboardInterrupt:
            print("\nEnding everything ...", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
