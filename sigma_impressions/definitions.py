"""The code location: what `dagster dev` and `workspace.yaml` load."""

from __future__ import annotations

from sigma_impressions.defs.build import build_definitions

defs = build_definitions()
