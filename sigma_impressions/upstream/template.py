"""A file of resources to begin with, for whoever fills it in by hand or shows a colleague what to export."""

from __future__ import annotations

import csv
import io

from sigma_impressions.upstream.contract import ELEMENT, SCHEMA, WORKBOOK

_WORKBOOK_ID = "REPLACE-workbook-url-id"
_PATH = "Acme/Sales"

_EXAMPLES = (
    {
        "resource_type": WORKBOOK,
        "workbook_url_id": _WORKBOOK_ID,
        "name": "REPLACE Sales Overview",
        "workbook_name": "REPLACE Sales Overview",
        "path": _PATH,
        "owner_email": "owner@example.com",
    },
    {
        "resource_type": ELEMENT,
        "workbook_url_id": _WORKBOOK_ID,
        "element_id": "REPLACE-element-id",
        "name": "REPLACE Revenue by month",
        "workbook_name": "REPLACE Sales Overview",
        "path": f"{_PATH}/Sales Overview",
    },
)
"""One workbook and one of its elements; CSV has no comments, so they are rows that are easily seen."""


def resources_template() -> str:
    """A CSV file of all columns of the contract, with a workbook and an element to replace."""
    file = io.StringIO()
    writer = csv.DictWriter(file, SCHEMA, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_EXAMPLES)
    return file.getvalue()
