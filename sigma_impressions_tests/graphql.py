"""What the server of a Dagster UI answers."""

from __future__ import annotations

import time
from typing import Any

import requests

from sigma_impressions.defs.build import JOB_NAME
from sigma_impressions.defs.runs import SOURCE_TAG

_JOBS = """{ repositoriesOrError { ... on RepositoryConnection {
    nodes { pipelines { name tags { key value } runs { id } } } } } }"""


def await_server(url: str, seconds: float = 60) -> None:
    """Return when a server answers."""
    until = time.monotonic() + seconds
    while True:
        try:
            requests.get(f"{url}/server_info", timeout=30).raise_for_status()
        except requests.ConnectionError:
            assert time.monotonic() < until, f"{url} has not answered within {seconds} s"
            time.sleep(0.1)
        else:
            return


def ask(url: str, query: str) -> dict[str, Any]:
    """The data that answers a query."""
    answer = requests.post(f"{url}/graphql", json={"query": query}, timeout=60)
    answer.raise_for_status()
    return answer.json()["data"]


def source_of(url: str) -> str:
    """The bucket URI that the code location of a UI works on."""
    return {tag["key"]: tag["value"] for tag in _job(url)["tags"]}[SOURCE_TAG]


def runs_of_the_job(url: str) -> list[str]:
    """The IDs of the runs that a UI lists with the job."""
    return [run["id"] for run in _job(url)["runs"]]


def _job(url: str) -> dict[str, Any]:
    (repository,) = ask(url, _JOBS)["repositoriesOrError"]["nodes"]
    (job,) = [job for job in repository["pipelines"] if job["name"] == JOB_NAME]
    return job
