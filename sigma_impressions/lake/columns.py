"""What the columns of the tables that are assets mean, for the Dagster UI.

The sentences are those of docs/tables-and-metrics.md, which a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sigma_impressions.lake.schemas import (
    DAILY_IMPRESSIONS,
    NORMALIZED_IMPRESSIONS,
    PAGE_COLUMNS,
    RAW_EXPORT_FILES,
    RESOURCE_COLUMNS,
    RESOURCE_IMPRESSIONS,
    SIGMA_MEMBERS,
    SIGMA_RESOURCES,
    UNMATCHED_IMPRESSIONS,
    USER_ACTIVITY,
    Table,
)


def meaning(table: Table, column: str) -> str:
    """What a column says, as Markdown. A column of a window has the meaning of its name without the window's length."""
    meanings = _MEANINGS[table]
    return meanings[column] if column in meanings else meanings[re.sub(r"_\d+d$", "", column)]


def _each(names: Iterable[str], said: str) -> dict[str, str]:
    return dict.fromkeys(names, said)


_OBJECT = _each(("bucket", "key", "version"), "the object, and its S3 ETag or GCS generation")
_WITHIN_THE_WINDOW = "the first and the last impression within the 60 days; null if none"
_AS_OF = {
    "as_of_date": "the as-of date, D",
    "fingerprint": "of what the as-of date was computed from",
    **_each(("first_impression_at", "last_impression_at"), _WITHIN_THE_WINDOW),
}
_RESOURCE = {
    "resource_type": "`sigma_workbook`, `sigma_data_model` or `sigma_element`",
    "workbook_id": "UUID of the workbook",
    "workbook_url_id": "the ID in the workbook's URL",
    "element_id": "null for workbooks",
    "name": "name of the workbook, data model or element",
    "workbook_name": "name of the workbook; of an element, of the one that it is in",
    "path": "the folder in Sigma; of an element, with the name of its workbook",
    "url": "opens it in Sigma",
    "owner_email": "who owns it in Sigma",
    **_each(("created_at", "updated_at"), "when it was made, and last changed, in Sigma"),
    "is_archived": "archived in Sigma",
    "is_deleted": "vanished from Sigma, still within the window",
}

_MEMBER = {
    "member_id": "the member's ID in Sigma, or in the file; without one, and under pseudonyms, what stands for it",
    "user_email": "the member as the impressions name users; null without an address",
    "name": "first and last name; null under pseudonyms",
    "account_type": "the account type, which the licence is paid by",
    "kind": "internal, guest or embed user, in Sigma's words",
    "teams": "names of the teams, in order; null where they are not known",
    "created_at": "when the member was invited to Sigma",
    "is_active": "not deactivated in Sigma",
    "first_seen_at": "when a snapshot first had the member",
    "is_deleted": "gone from Sigma, still within the window",
}

_MEANINGS: Mapping[Table, Mapping[str, str]] = {
    RAW_EXPORT_FILES: {
        "file_date": "the UTC day that the file belongs to, fixed when it was first seen",
        "file_id": "a digest of key and version",
        **_OBJECT,
        "size": "bytes as stored",
        "last_modified": "when the object was written",
        "first_seen_at": "when a listing first showed it",
    },
    NORMALIZED_IMPRESSIONS: {
        "file_date": "the file date of the export file",
        **_each(("file_id", "capture_id"), "the file, and the capture that read it"),
        "row_number": "1 for the first record after the header",
        "request_time": "when it was viewed, in UTC, to the microsecond",
        "event_date": "the UTC day of `request_time`",
        **_each(
            ("user_email", "workbook_url_id", "element_id", "event_id"),
            "normalized values; without `user_email` the row is of nobody",
        ),
        "count": "views that the row stands for",
    },
    DAILY_IMPRESSIONS: {
        "event_date": "the UTC day of the views",
        "fingerprint": "of what the day was built from",
        **_each(
            ("workbook_url_id", "element_id", "user_email"),
            "as in the export, not yet matched; `user_email` is null for impressions of nobody",
        ),
        "impressions": "impressions, counted once",
        **_each(("first_impression_at", "last_impression_at"), "the first and the last of the day"),
    },
    SIGMA_RESOURCES: {
        "snapshot_id": "the snapshot that the row is part of",
        **_RESOURCE,
        **_each(PAGE_COLUMNS, "the page that an element is on, where it is known"),
    },
    SIGMA_MEMBERS: {
        "snapshot_id": "the snapshot that the row is part of",
        **_MEMBER,
        "vanished_at": "the run that first missed the member",
    },
    RESOURCE_IMPRESSIONS: {
        **_AS_OF,
        **{name: _RESOURCE[name] for name in RESOURCE_COLUMNS},
        "total_impressions": (
            "impressions attached to this resource: rows with an element to the element, rows without to the workbook"
        ),
        "distinct_impressions_users": "distinct `user_email` behind `total_impressions_*`; 0 if all are of nobody",
        "total_impressions_with_elements": (
            "workbook: its own plus those of all its elements, known to `sigma_resources` or not; element: equal to "
            "its own"
        ),
        "distinct_impressions_users_with_elements": (
            "distinct users behind `total_impressions_with_elements_*`; a user of the workbook and of its elements "
            "counts once"
        ),
        "total_impressions_prior_14d": "impressions in D−27 … D−14; D itself may be a part of a day",
        "anonymous_impressions_60d": "those of `total_impressions_with_elements_60d` that are of nobody",
    },
    USER_ACTIVITY: {
        **_AS_OF,
        "user_email": "the user",
        "total_impressions": "impressions of the user",
        "distinct_workbooks": "workbooks and data models viewed, themselves or an element of theirs",
        "distinct_resources": "workbooks, data models and elements viewed",
        "active_days": "event dates with at least one impression",
    },
    UNMATCHED_IMPRESSIONS: {
        **_AS_OF,
        "workbook_url_id": "the matched workbook's, or what the export says",
        "element_id": "null if the views were of the workbook",
        "reason": "`unknown_workbook` or `unknown_element`",
        "total_impressions_60d": "impressions without a resource",
        "distinct_impressions_users_60d": "distinct users; 0 if all are of nobody",
    },
}
