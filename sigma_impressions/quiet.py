"""The logs of the libraries that speak to others: their debug lines hold what is sent, with its credentials."""

from __future__ import annotations

import logging

_TALKATIVE = (
    *("botocore", "boto3", "s3transfer", "google", "requests", "urllib3", "datahub"),
    *("snowflake", "databricks", "clickhouse_connect", "clickhouse_driver"),
)
"""botocore logs signed requests and the answers with new credentials, urllib3 the path of a webhook, DataHub's client
all that it could not send, the drivers of warehouses statements and sessions."""


def without_debug_lines() -> None:
    """Let these libraries log warnings only, whatever is said of the root logger.

    Where everything is logged, as with Dagster's `python_logs` of the root logger at `DEBUG`, their lines would be
    kept in its event log. To be called before a client of theirs is made.
    """
    # Those below them too, which may have been given a level of their own.
    known = [name for name in logging.root.manager.loggerDict if name.startswith(tuple(f"{it}." for it in _TALKATIVE))]
    for logger in map(logging.getLogger, (*_TALKATIVE, *known)):
        if logger.name in _TALKATIVE or logger.level:
            logger.setLevel(max(logger.level, logging.WARNING))
