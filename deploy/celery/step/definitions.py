"""The code location where a Celery task is a step: `celery_executor` for the jobs, and for all other runs.

Celery reads the variables of the broker and of the results itself.
"""

import dagster as dg
from dagster_celery import celery_executor

from sigma_impressions.defs.build import build_definitions

defs = dg.Definitions.merge(build_definitions(executor=celery_executor), dg.Definitions(executor=celery_executor))
