"""Organizations for the fake Sigma: large ones, and what happens to their workbooks."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np

from sigma_impressions.demo.fake_sigma import Organization

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def large_organization(
    workbooks: int, elements: int, seed: int = 7, *, members: int = 1500, teams: int = 0
) -> Organization:
    """An organization of that size, the same for the same seed; popular workbooks have more elements.

    One member of 20 is a guest, one of 50 was deactivated; a team has a hundred members on average.
    """
    rng = np.random.default_rng(seed)
    weights = 1 / (1 + np.arange(workbooks)) ** 0.4
    counts = rng.multinomial(elements, weights / weights.sum())
    found = Organization()
    for number in range(members):
        kind = "guest" if number % 20 == 19 else "internal"
        found.add_member(f"user{number}@example.com", f"User {number}", kind=kind, is_archived=number % 50 == 49)
    for number, size in enumerate(np.random.default_rng(seed).integers(1, 200, teams).tolist()):
        found.add_team(f"Team {number}", [f"member-{(number * 131 + n * 37) % members}" for n in range(size)])
    for number, count in enumerate(counts.tolist()):
        workbook_id, url_id = str(uuid.UUID(bytes=rng.bytes(16), version=4)), _identifier(rng, 22)
        owner = f"member-{rng.integers(0, members)}"
        found.workbooks.append(
            {
                "workbookId": workbook_id,
                "workbookUrlId": url_id,
                "name": f"Workbook {number}",
                "path": f"Acme/Team {number % 97}",
                "url": f"https://app.sigmacomputing.com/acme/workbook/Workbook-{number}-{url_id}",
                "ownerId": owner,
                "createdBy": owner,
                "updatedBy": owner,
                "createdAt": f"2025-{1 + number % 12:02}-{1 + number % 28:02}T08:00:00.000Z",
                "updatedAt": f"2026-{1 + number % 10:02}-{1 + number % 28:02}T09:30:00.000Z",
                "latestVersion": 1 + number % 40,
                "isArchived": number % 50 == 49,
                "tags": [],
            }
        )
        found.elements[workbook_id] = [
            {"elementId": _identifier(rng, 10), "name": f"Element {n}", "type": "visualization"} for n in range(count)
        ]
    return found


def tag(organization: Organization, workbook_url_id: str, name: str, *, listed: bool) -> dict[str, Any]:
    """Tag the newest version of a workbook, and return the entry of the tagged version that comes of it.

    With `listed` the list of workbooks shows it as an entry of its own; else it can only be asked for by ID.
    """
    source = next(entry for entry in organization.workbooks if entry["workbookUrlId"] == workbook_url_id)
    seed = np.random.default_rng(list(f"{workbook_url_id}/{name}".encode()))
    version = source | {
        "workbookId": str(uuid.UUID(bytes=seed.bytes(16), version=4)),
        "workbookUrlId": _identifier(seed, 22),
        "tags": [],
    }
    source["tags"] = [*source["tags"], {"name": name, "taggedWorkbookId": version["workbookId"]}]
    organization.elements[version["workbookId"]] = organization.elements.get(source["workbookId"], [])
    (organization.workbooks if listed else organization.hidden).append(version)
    return version


def remove(organization: Organization, workbook_url_id: str) -> None:
    """Delete a workbook with its elements."""
    gone = next(entry for entry in organization.workbooks if entry["workbookUrlId"] == workbook_url_id)
    organization.workbooks.remove(gone)
    organization.elements.pop(gone["workbookId"], None)


def _identifier(rng: np.random.Generator, length: int) -> str:
    return "".join(_LETTERS[index] for index in rng.integers(0, len(_LETTERS), length))
