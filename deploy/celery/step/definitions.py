"""The code location where a Celery task is a step: `celery_executor` for the jobs, and for all other runs."""

import dagster as dg
from dagster_celery import celery_executor

from sigma_impressions.defs.build import build_definitions

celery = celery_executor.configured(
    {"broker": {"env": "CELERY_BROKER_URL"}, "backend": {"env": "CELERY_RESULT_BACKEND"}}, name="celery"
)
defs = dg.Definitions.merge(build_definitions(executor=celery), dg.Definitions(executor=celery))
