"""How often something is tried again, and how long the pauses are."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """How often something is tried, and the pauses in between: doubling from `first` to `longest` seconds.

    Each pause is drawn at random from its upper half, so that those who were throttled together do not come back
    together.
    """

    attempts: int = 6
    first: float = 0.5
    longest: float = 20.0

    def seconds(self, failures: int, at_least: float | None = None) -> float:
        """How long to wait before the next try, after so many failures in a row; `at_least` so long."""
        drawn = min(self.longest, self.first * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)
        return max(drawn, at_least or 0.0)

    def pause(self, failures: int) -> None:
        """Sleep before the next try, after so many failures in a row."""
        time.sleep(self.seconds(failures))
