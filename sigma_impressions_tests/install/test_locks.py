"""The lock files agree with each other and with what the project asks for, and name no registry."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
RUN, TEST, CONSTRAINTS = (ROOT / name for name in ("requirements.txt", "requirements-test.txt", "constraints.txt"))
IMAGE = ROOT / "deploy" / "requirements.txt"
DBT = ROOT / "examples" / "dbt" / "requirements.txt"


def entries(lock: Path) -> list[str]:
    """What a lock file lists, each with its hashes in one line."""
    lines = lock.read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    return [line for line in lines if re.match(r"\w", line)]


def hashes(lock: Path) -> dict[tuple[str, str], set[str]]:
    """(package, version) -> its hashes."""
    return {
        (required.name, str(required.specifier)): set(re.findall(r"--hash=(sha256:\w{64})", entry))
        for entry in entries(lock)
        for required in [requirement(entry)]
    }


def requirement(entry: str) -> Requirement:
    return Requirement(entry.partition(" --hash")[0])


def asked_for(*extras: str, groups: tuple[str, ...]) -> list[Requirement]:
    project: Any = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [
        project["project"]["dependencies"],
        *(project["project"]["optional-dependencies"][extra] for extra in extras),
        *(project["dependency-groups"][group] for group in groups),
    ]
    return [Requirement(text) for texts in asked for text in texts]


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        (RUN, asked_for("celery", "demo", "postgres", groups=("build",))),
        (IMAGE, asked_for("celery", "postgres", "warehouse", "kubernetes", groups=("build",))),
        (
            TEST,
            asked_for(
                *("celery", "demo", "postgres", "datahub", "dagster-sigma", "kubernetes", "warehouse"),
                groups=("build", "dev"),
            ),
        ),
        (DBT, [Requirement(line) for line in entries(DBT.with_suffix(".in"))]),
    ],
    ids=["run", "image", "test", "dbt"],
)
def test_what_is_asked_for_is_locked(lock: Path, asked: list[Requirement]) -> None:
    locked = [
        (required.name, str(required.specifier).removeprefix("==")) for required in map(requirement, entries(lock))
    ]
    for wanted in asked:
        versions = [version for name, version in locked if name == canonicalize_name(wanted.name)]
        assert versions and all(version in wanted.specifier for version in versions), wanted


def test_what_runs_is_part_of_what_tests() -> None:
    run, image, test = hashes(RUN), hashes(IMAGE), hashes(TEST)
    assert run.items() <= test.items() and image.items() <= test.items()
    assert all(test.values()) and all(hashes(DBT).values())


def test_the_constraints_are_the_same_without_hashes() -> None:
    assert [str(Requirement(line)) for line in entries(CONSTRAINTS)] == [
        str(requirement(entry)) for entry in entries(TEST)
    ]


@pytest.mark.parametrize("lock", [RUN, IMAGE, TEST, CONSTRAINTS, DBT], ids=lambda lock: str(lock.relative_to(ROOT)))
def test_no_registry_is_named(lock: Path) -> None:
    assert re.findall(r"https?:|--[a-z-]*index|--find-links", lock.read_text(encoding="utf-8")) == []
