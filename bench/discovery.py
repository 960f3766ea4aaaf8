"""Measure the discovery of a large Sigma organization against a fake Sigma in another process."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import run

from sigma_impressions.demo.fake_sigma import Behaviour, FakeSigma
from sigma_impressions.upstream.discovery import discover_resources
from sigma_impressions.upstream.members import discover_members
from sigma_impressions.upstream.sigma_api import DEFAULT_CONCURRENCY, Credentials
from sigma_impressions_tests.upstream.organizations import large_organization

WORKBOOKS, ELEMENTS, MEMBERS, TEAMS, LATENCY = 5_000, 60_000, 12_000, 300, 0.02
RESOURCES, PEOPLE, PAGES = "resources", "people", "pages"


@dataclass(frozen=True)
class Discovery:
    """One discovery in a process of its own; `digest` is of the rows. Peak memory is that of the whole process."""

    resources: int
    members: int
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
    plain = Behaviour(latency=LATENCY)
    # Injected faults carry no Retry-After, which would measure the fake's waiting times.
    faulty = Behaviour(latency=LATENCY, fault_rate=0.05, token_seconds=2)
    found = {
        "resources and members": measure(plain, RESOURCES, PEOPLE),
        "the same with faults": measure(faulty, RESOURCES, PEOPLE),
        "members and teams alone": measure(plain, PEOPLE),
        "resources with pages": measure(plain, RESOURCES, PAGES),
    }
    yield "Discovery of workbooks, elements, members and teams over HTTP"
    yield (
        f"{WORKBOOKS:,} workbooks, {ELEMENTS:,} elements, {MEMBERS:,} members and {TEAMS:,} teams of a fake Sigma in "
        f"another process, {LATENCY * 1000:.0f} ms a request, {DEFAULT_CONCURRENCY} requests at once. "
        "Ideal is requests × latency ÷ concurrency. With faults: "
        "5 % of the answers are 429, 500 or a reset connection, and tokens expire after 2 s."
    )
    yield ""
    yield "| | resources | members | requests | of them again | tokens | seconds | CPU | ratio to ideal | peak memory |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, one in found.items():
        yield (
            f"| {name} | {one.resources:,} | {one.members:,} | {one.requests:,} | {one.retries:,} | {one.tokens} | "
            f"{one.seconds:.1f} | {one.cpu_seconds:.1f} | {one.seconds / one.ideal_seconds:.2f} | "
            f"{one.peak_bytes / 2**20:.0f} MB |"
        )
    yield ""
    with_faults = found["the same with faults"]
    same = found["resources and members"].digest == with_faults.digest
    yield "The same rows come out with faults." if same else "**The rows differ.**"


def measure(behaviour: Behaviour, *what: str) -> Discovery:
    """Start the fake Sigma in one process and the discovery in another."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, behaviour), daemon=True)
    server.start()
    # So that a server that does not start is an end of the file here, not a wait for ever.
    theirs.close()
    try:
        credentials = ours.recv()
        command = [sys.executable, "-m", "bench.discovery", *what]
        ended = run(command, env={**os.environ, **credentials}, capture_output=True, text=True, check=True)
        return Discovery(**json.loads(ended.stdout))
    finally:
        ours.send("stop")
        server.join()


def _serve(pipe: Connection, behaviour: Behaviour) -> None:
    organization = large_organization(WORKBOOKS, ELEMENTS, members=MEMBERS, teams=TEAMS)
    with FakeSigma(organization, behaviour) as sigma:
        pipe.send(sigma.environment())
        pipe.recv()


def _discover(what: Sequence[str]) -> Discovery:
    """The resources and the members one after the other, as the steps of a run read them."""
    where = Credentials(*(os.environ[f"SIGMA_{name}"] for name in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET")))

    def report(line: str) -> None:
        print(line, file=sys.stderr)

    started, cpu_started = time.perf_counter(), time.process_time()
    found = discover_resources(where, report, pages=PAGES in what) if RESOURCES in what else None
    people = discover_members(where, report) if PEOPLE in what else None
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    frames = [found.resources] if found else []
    frames += [people.members] if people else []
    traffic = [one.traffic for one in (found, people) if one]
    return Discovery(
        found.resources.height if found else 0,
        people.members.height if people else 0,
        hashlib.sha256("".join(frame.write_ndjson() for frame in frames).encode()).hexdigest(),
        sum(one.requests for one in traffic),
        sum(one.retries for one in traffic),
        sum(one.tokens for one in traffic),
        seconds,
        cpu_seconds,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(_discover(sys.argv[1:]))))
