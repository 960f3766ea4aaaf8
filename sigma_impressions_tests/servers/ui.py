"""What somebody sees and does in the UI of a deployment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from sigma_impressions.defs.build import JOB_NAME
from sigma_impressions_tests.graphql import ask
from sigma_impressions_tests.servers.cluster import Cluster

_MINUTES = 60
_UNDER_WAY = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"}

_RUNS = """{ runsOrError { ... on Runs { results {
    runId status stepStats { status } tags { key value } } } } }"""
_ASSETS = """{ assetNodes(loadMaterializations: false) { assetKey { path } jobNames } }"""
_BACKFILL = """mutation { launchPartitionBackfill(backfillParams: { assetSelection: [%s], partitionNames: %s }) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_BACKFILLS = """{ partitionBackfillsOrError { ... on PartitionBackfills { results { id status } } } }"""


class Ui:
    """What somebody sees and does in the UI."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ask(self._cluster.url, _RUNS)["runsOrError"]["results"]
        return found

    def backfill(self, wanted: Sequence[date]) -> None:
        """Ask for all assets of the job: of some days those that have days, and then the others."""
        nodes = ask(self._cluster.url, _ASSETS)["assetNodes"]
        keys = [node["assetKey"]["path"] for node in nodes if JOB_NAME in node["jobNames"]]
        assets = ", ".join(f"{{ path: {json.dumps(key)} }}" for key in keys)
        asked = _BACKFILL % (assets, json.dumps(list(map(str, wanted))))
        launched = ask(self._cluster.url, asked)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def wait(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _MINUTES * 60
        while not until():
            self._cluster.require_alive()
            assert time.monotonic() < deadline, self.runs()
            time.sleep(1)

    def wait_for_the_end(self) -> None:
        """Wait until no run is under way or asked for."""

        def has_ended() -> bool:
            backfills = ask(self._cluster.url, _BACKFILLS)["partitionBackfillsOrError"]["results"]
            going_on = any(it["status"] in ("REQUESTED", "FAILING", "CANCELING") for it in backfills)
            return not going_on and not any(run["status"] in _UNDER_WAY for run in self.runs())

        self.wait(has_ended)

    def has_queued(self) -> bool:
        """Whether there is a run that no worker has been asked for."""
        return any(run["status"] in ("QUEUED", "NOT_STARTED") for run in self.runs())
