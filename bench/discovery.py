"""Measure the discovery of a large Sigma organization against a fake Sigma in another process."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import run

from sigma_impressions.demo.fake_sigma import Behaviour, FakeSigma
from sigma_impressions.upstream.discovery import discover_resources
from sigma_impressions.upstream.sigma_api import DEFAULT_CONCURRENCY, Credentials
from sigma_impressions_tests.upstream.organizations import large_organization

WORKBOOKS, ELEMENTS, LATENCY = 5_000, 60_000, 0.02


@dataclass(frozen=True)
class Discovery:
    """One discovery in a process of its own; `digest` is of the rows. Peak memory is that of the whole process."""

    rows: int
    digest: str
    requests: int
    retries: int
    tokens: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int

    @property
    def ideal_seconds(self) -> float:
        """Requests × latency ÷ concurrency."""
        return self.requests * LATENCY / DEFAULT_CONCURRENCY


def lines(folder: Path, large: bool) -> Iterator[str]:
    """The section of the results."""
    plain = measure(Behaviour(latency=LATENCY))
    # Injected faults carry no Retry-After, which would measure the fake's waiting times.
    faulty = measure(Behaviour(latency=LATENCY, fault_rate=0.05, token_seconds=2))
    yield "Discovery of workbooks and elements over HTTP"
    yield (
        f"{WORKBOOKS:,} workbooks and {ELEMENTS:,} elements of a fake Sigma in another process, "
        f"{LATENCY * 1000:.0f} ms a request, {DEFAULT_CONCURRENCY} requests at once. "
        "Ideal is requests × latency ÷ concurrency. With faults: "
        "5 % of the answers are 429, 500 or a reset connection, and tokens expire after 2 s."
    )
    yield ""
    yield "| | rows | requests | of them again | tokens | seconds | of CPU | ratio to ideal | peak memory |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, found in (("without faults", plain), ("with faults", faulty)):
        yield (
            f"| {name} | {found.rows:,} | {found.requests:,} | {found.retries:,} | {found.tokens} | "
            f"{found.seconds:.1f} | {found.cpu_seconds:.1f} | {found.seconds / found.ideal_seconds:.2f} | "
            f"{found.peak_bytes / 2**20:.0f} MB |"
        )
    yield ""
    yield "The same rows come out." if plain.digest == faulty.digest else "**The rows differ.**"


def measure(behaviour: Behaviour) -> Discovery:
    """Start the fake Sigma in one process and the discovery in another."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, behaviour), daemon=True)
    server.start()
    # So that a server that does not start is an end of the file here, not a wait for ever.
    theirs.close()
    try:
        credentials = ours.recv()
        command = [sys.executable, "-m", "bench.discovery", "discover"]
        ended = run(command, env={**os.environ, **credentials}, capture_output=True, text=True, check=True)
        return Discovery(**json.loads(ended.stdout))
    finally:
        ours.send("stop")
        server.join()


def _serve(pipe: Connection, behaviour: Behaviour) -> None:
    with FakeSigma(large_organization(WORKBOOKS, ELEMENTS), behaviour) as sigma:
        pipe.send(sigma.environment())
        pipe.recv()


def _discover() -> Discovery:
    where = Credentials(*(os.environ[f"SIGMA_{name}"] for name in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET")))
    started, cpu_started = time.perf_counter(), time.process_time()
    found = discover_resources(where, lambda line: print(line, file=sys.stderr))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return Discovery(
        found.resources.height,
        hashlib.sha256(found.resources.write_ndjson().encode()).hexdigest(),
        found.traffic.requests,
        found.traffic.retries,
        found.traffic.tokens,
        seconds,
        cpu_seconds,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(_discover())))
