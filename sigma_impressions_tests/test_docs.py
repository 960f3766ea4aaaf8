"""What the docs name exists: linked pages and headings, files, variables, and the rules that comments refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sigma_impressions"
TESTS = ROOT / "sigma_impressions_tests"
PAGES = [
    *(ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))),
    *(TESTS / "cases/README.md", ROOT / "examples/dbt/README.md"),
]
CODE = [
    path
    for folder in (PACKAGE, TESTS, ROOT / "bench", ROOT / "examples")
    for path in sorted(folder.rglob("*"))
    if path.suffix in {".py", ".sql"}
]


def lines_of_prose(page: Path) -> list[str]:
    """The lines of a page; those of code blocks are blank."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"(?ms)^( *)```.*?^\1```$", lambda block: "\n" * block[0].count("\n"), text).splitlines()


@cache
def headings(page: Path) -> list[str]:
    """The headings of a page as they are read, without marks of code."""
    found = (re.fullmatch(r"#+ (.+)", line) for line in lines_of_prose(page))
    return [heading[1].replace("`", "") for heading in found if heading]


def anchors(page: Path) -> set[str]:
    """What a link may name in a page, as GitHub makes it of headings."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings(page)}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", "\n".join(lines_of_prose(page)))
    links = re.findall(r"\]\((?!https?://)([^)\s]+)\)", prose)
    assert [link for link in links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    where, _, anchor = link.partition("#")
    target = (page.parent / where).resolve() if where else page
    return target.exists() and (not anchor or anchor in anchors(target))


def paths_named(page: Path) -> Iterator[tuple[str, bool]]:
    """The paths in code letters, and whether each exists: from the root, the package, or the place that a table names.

    A star stands for anything; a path with NAME in it is an example.
    """
    table: list[Path] = []
    for line in lines_of_prose(page):
        if place := re.match(r"\| place in `([^`]+)/`", line):
            table = [ROOT / place[1]]
        elif not line.startswith("|"):
            table = []
        bases = [ROOT, PACKAGE, *table]
        if line.startswith("|"):
            folders = re.findall(r"`([\w./-]+/)`", line.split("|")[1])
            bases += [base / folder for base in bases for folder in folders]
        for path in re.findall(r"`([\w./*-]+(?:\.(?:py|sql|md|toml|yaml|j2)|/))`", line):
            if "NAME" not in path:
                yield path, any(any(base.glob(path)) for base in bases)


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "architecture.md"], ids=name_of)
def test_files_that_are_named_exist(page: Path) -> None:
    assert {path for path, exists in paths_named(page) if not exists} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_of_the_package_that_are_named_exist(page: Path) -> None:
    named = ("sigma_impressions/", "sigma_impressions_tests/", "examples/", "docs/")
    assert {path for path, exists in paths_named(page) if path.startswith(named) and not exists} == set()


def test_names_are_where_the_recipes_say() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+)` (?:in|of) `([\w/]+\.py)`", text)
    assert len(named) > 10
    files = {path: PACKAGE / path for _, path in named}
    texts = {path: file.read_text(encoding="utf-8") for path, file in files.items()}
    assert [(name, path) for name, path in named if path in texts and not re.search(rf"\b{name}\b", texts[path])] == []


def rules_cited() -> Iterator[tuple[Path, str, str]]:
    """Each (file, page, heading) of a comment that names a page and then, in quotes, one heading or several."""
    for path in CODE:
        text = re.sub(r"\n *(?:--|#)? *", " ", path.read_text(encoding="utf-8"))
        for page, cited in re.findall(r'(docs/[\w-]+\.md), ("[^"]+"(?:(?:,| and) "[^"]+")*)', text):
            yield from ((path, page, heading) for heading in re.findall(r'"([^"]+)"', cited))


def test_rules_that_comments_cite_are_in_the_docs() -> None:
    cited = list(rules_cited())
    assert len(cited) > 15
    assert [name_of(path) for path, page, heading in cited if heading not in headings(ROOT / page)] == []


def test_comments_cite_nothing_that_is_not_in_the_repository() -> None:
    elsewhere = re.compile(r"\(spec[ ,]|" + "\N{SECTION SIGN}", re.IGNORECASE)
    assert [name_of(path) for path in CODE if elsewhere.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_variables_that_are_named_are_among_the_settings(page: Path) -> None:
    listed = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bSIGMA_[A-Z_]*[A-Z]\b(?!…)", page.read_text(encoding="utf-8")))
    assert {name for name in named if f"`{name}`" not in listed} == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
