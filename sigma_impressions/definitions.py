"""The code location: what `dagster dev` and `workspace.yaml` load."""

from __future__ import annotations

import dagster as dg

from sigma_impressions.defs.build import build_definitions

defs = dg.Definitions.merge(build_definitions(), dg.Definitions(executor=dg.in_process_executor))
