"""Read a snapshot in a process of its own and print what came of it and the most memory that it took, as JSON.

`python -m sigma_impressions_tests.upstream.measured LOCATION`: a file, or the URL of a Sigma REST API.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import OperatorError
from sigma_impressions.upstream.discovery import discover_resources
from sigma_impressions.upstream.sigma_api import Credentials
from sigma_impressions.upstream.snapshot_file import read_snapshot


def measure(location: str) -> tuple[str, int]:
    """What is said of the resources there, and the bytes of resident memory that it took at most."""
    command = [sys.executable, "-m", __name__, location]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120)
    said, memory = json.loads(done.stdout)
    return said, memory


def main(location: str) -> None:
    try:
        if location.startswith("http"):
            found = discover_resources(Credentials(location, "id", "secret"), print, backoff=Backoff(1)).resources
        else:
            found = read_snapshot(location)
        said = f"{found.height} rows"
    except OperatorError as error:
        said = f"{type(error).__name__}: {error}"
    kilobytes = re.search(r"VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text())
    assert kilobytes is not None
    print(json.dumps([said, int(kilobytes[1]) * 1024]))


if __name__ == "__main__":
    main(sys.argv[1])
