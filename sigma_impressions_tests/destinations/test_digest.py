"""The digest: golden texts, figures against plain Python, what it says where little is known; the files by owner."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result
from markdown_it import MarkdownIt

from sigma_impressions.cli import main
from sigma_impressions.destinations.digest import owners
from sigma_impressions.destinations.digest.owners import export_owners, file_name
from sigma_impressions.destinations.digest.text import Text, digest_text
from sigma_impressions.destinations.digest.week import DAYS, NAMED, Moved, read_digest
from sigma_impressions_tests.clouds.http_stub import Answer, HttpStub, http_stub
from sigma_impressions_tests.commands import without_settings
from sigma_impressions_tests.destinations.digest_story import (
    COMPLETE,
    NOW_AND_THEN,
    TODAY,
    Story,
    empty,
    hostile,
    usual,
    views,
    workbook,
)
from sigma_impressions_tests.metrics.reference import Row

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).with_name("digest")
LINK = "https://usage.example.com/report.html?a=1&b=2"
SECRET = "/services/T000/B000/not-to-be-shown"
STORIES = {"usual": usual, "empty": empty, "hostile": hostile}

Digest = Callable[..., Result]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A storage location for each story, with its database."""
    folders = {name: tmp_path_factory.mktemp(name) for name in STORIES}
    for name, story in STORIES.items():
        story().publish(folders[name])
    return folders


@pytest.fixture
def database(folders: dict[str, Path]) -> Path:
    return folders["usual"] / "sigma_impressions.duckdb"


@pytest.fixture
def webhook() -> Iterator[HttpStub]:
    with http_stub(lambda _: Answer(200, b"ok")) as stub:
        yield stub


@pytest.fixture
def digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Digest:
    """Call the command in this process, on the day of the stories."""
    without_settings(monkeypatch)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(TODAY.year, TODAY.month, TODAY.day, 7)

    monkeypatch.setattr("sigma_impressions.cli.results.datetime", Clock)

    def called(storage: Path, *arguments: str, **settings: str) -> Result:
        given = {
            "PROJECT": str(tmp_path),
            "BUCKET_URI": "s3://bucket/x",
            "STORAGE": str(storage),
            "NAME": "Acme <audit>",
            "REPORT_URL": LINK,
            **settings,
        }
        env = {f"SIGMA_IMPRESSIONS_{name}": text for name, text in given.items()}
        return CliRunner().invoke(main, ["digest", *arguments], env=env)

    return called


def told(database: Path, today: date = TODAY) -> Text:
    return digest_text(read_digest(database, today), "Acme")


def changed(database: Path, folder: Path, *statements: str) -> Path:
    """A copy of a database in which something is otherwise."""
    copy = Path(shutil.copy(database, folder / "changed.duckdb"))
    copy.chmod(0o600)
    with duckdb.connect(str(copy)) as connection:
        for statement in statements:
            connection.execute(statement)
    return copy


# --- As it is told ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", STORIES)
def test_the_text_is_the_golden_one(story: str, folders: dict[str, Path], digest: Digest) -> None:
    printed = digest(folders[story])
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert printed.stdout == (GOLDEN / f"{story}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("story", STORIES)
def test_what_is_posted_is_the_golden_message(
    story: str, folders: dict[str, Path], digest: Digest, webhook: HttpStub
) -> None:
    sent = digest(folders[story], "--send", DIGEST_WEBHOOK=webhook.url + SECRET)
    assert sent.exit_code == 0
    assert sent.stdout == "Acme <audit>: 2026-11-13 to 2026-11-19: posted to the digest webhook\n"
    (request,) = webhook.requests
    assert (request.method, request.path, request.headers["content-type"]) == ("POST", SECRET, "application/json")
    assert json.loads(request.body) == json.loads((GOLDEN / f"{story}.json").read_text(encoding="utf-8"))


def test_names_in_a_message_are_only_text(folders: dict[str, Path]) -> None:
    text = told(folders["hostile"] / "sigma_impressions.duckdb")
    assert len(text.lines) <= 10
    assert not re.search(r"://|[^s]\.example|[`<>]|(?<!•) \*(?!\w)", text.mrkdwn())
    # Of ours are the two around the title and around what each line is about.
    assert text.mrkdwn().count("*") == 2 + 2 * len(text.lines)
    assert all(line.isprintable() for line in text.plain())
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(text.markdown())
    assert {*re.findall(r"</?(\w+)", rendered)} == {"p", "strong", "ul", "li"}
    assert (rendered.count("<strong>"), rendered.count("<li>")) == (1 + len(text.lines), len(text.lines))
    assert not re.search(r"://|\w@", text.markdown())
    # What a name says of views stands within the quotes, of which it has none.
    for line in text.lines:
        assert line.says.count("“") == line.says.count("”") <= NAMED


@pytest.mark.parametrize("story", STORIES)
def test_no_person_is_named(story: str, folders: dict[str, Path]) -> None:
    # One of the hostile names holds an address.
    text = told(folders[story] / "sigma_impressions.duckdb")
    assert "@" not in f"{text.plain()} {text.mrkdwn()} {text.markdown()}"


# --- Its figures --------------------------------------------------------------------------------------------------


def day(ago: int) -> date:
    return TODAY - timedelta(days=ago)


def random_story(seed: int) -> Story:
    """Many workbooks with views of a few people on random days."""
    chance = random.Random(seed)
    rows = [row for ago in NOW_AND_THEN for row in views("Board", ago, 1)]
    ages = (0, 1, 4, 7, 8, 11, 14, 15, 30, 59, 60, 61, 64, 67, 68, 74)
    for number in range(40):
        # Some are not viewed any more, and some only lately.
        left = [ago for ago in ages if ago >= chance.choice([0, 0, 0, 8, 15, 59, 60, 61, 67, 68])]
        for ago in chance.sample(left, chance.randint(1, len(left))):
            rows += views(f"w{number}", ago, *(chance.randint(0, 6) for _ in range(4)))
    return Story(rows, [workbook("Board"), *(workbook(f"w{number}") for number in range(40))])


def check_against(story: Story, database: Path) -> None:
    """Compare a digest with what plain Python counts in the rows."""
    present = {
        resource["workbook_url_id"]
        for resource in story.resources
        if resource["resource_type"] == "sigma_workbook" and not resource.get("is_archived")
    }
    found = read_digest(database, TODAY).week
    assert found is not None
    assert (found.first_day, found.last_day) == (day(DAYS), COMPLETE)
    of_now, of_before = (_rows_of(story, range(first, first + DAYS)) for first in (1, 1 + DAYS))
    for days, rows in ((found.now, of_now), (found.before, of_before)):
        assert days.are_known
        assert days.views == sum(row.count for row in rows)
        assert days.people == len({row.user_email for row in rows} - {None})

    now, before = (_by_workbook(rows) for rows in (of_now, of_before))
    moved = {name: now[name] - before[name] for name in present}
    moved = {name: by for name, by in moved.items() if abs(by) >= max(before[name] / 2, 5)}
    assert found.movements is not None
    for listed, sign in ((found.movements.rising, 1), (found.movements.falling, -1)):
        ordered = sorted((name for name in moved if moved[name] * sign > 0), key=lambda name: (-abs(moved[name]), name))
        assert listed.of_them == len(ordered)
        assert listed.first == tuple(Moved(name, now[name], before[name]) for name in ordered[:NAMED])

    last = {name: max((row.request_time for row in story.rows if row.workbook_url_id == name), default=None)
            for name in present}  # fmt: skip
    # The 60th day without a view is one of the week.
    reached = sorted((name for name in present if (at := last[name]) and day(67) <= at.date() <= day(61)),
                     key=lambda name: (-last[name].timestamp(), name))  # type: ignore[union-attr]  # fmt: skip
    assert found.newly_unused is not None
    assert found.newly_unused.of_them == len(reached)
    assert [one.name for one in found.newly_unused.first] == reached[:NAMED]


def _rows_of(story: Story, ages: range) -> list[Row]:
    return [row for row in story.rows if row.request_time.date() in {day(ago) for ago in ages}]


def _by_workbook(rows: list[Row]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for row in rows:
        counted[row.workbook_url_id] += row.count
    return counted


def test_its_figures_are_those_of_the_rows(database: Path, tmp_path: Path) -> None:
    check_against(usual(), database)
    story = random_story(22)
    check_against(story, story.publish(tmp_path))


# --- Where little is known ----------------------------------------------------------------------------------------


def lines(text: Text) -> dict[str, str]:
    return {line.about: line.says for line in text.lines}


@pytest.mark.parametrize(("days_later", "is_told"), [(-1, True), (6, True), (7, False)])
def test_a_week_is_told_until_the_next_one_should_have_ended(days_later: int, is_told: bool, database: Path) -> None:
    text = told(database, TODAY + timedelta(days=days_later))
    assert ("Views" in lines(text)) == is_told
    if not is_told:
        assert text.title == "Acme: no new week"
        assert lines(text)["Nothing new"].startswith("the last complete day is 2026-11-19, 8 days ago.")
        # What was refused may be why.
        assert "2 since 2026-11-13" in lines(text)["Refused files"]


def test_without_a_complete_day_there_is_nothing_to_tell(database: Path, tmp_path: Path) -> None:
    text = told(changed(database, tmp_path, "UPDATE usage_summary SET last_complete_day = NULL"))
    assert text.title == "Acme: no new week"
    assert "no export file has been read" in lines(text)["Nothing new"]
    assert lines(text)["Refused files"].startswith("3; the newest is")


@pytest.mark.parametrize(
    ("not_captured", "expected"),
    [
        (
            "event_date = DATE '2026-11-15'",
            {
                "Views": "228 on the 6 of 7 days that were captured.",
                "People": "3 on the 6 of 7 days that were captured.",
                "Not compared": "only 13 of the 14 days from 2026-11-06 to 2026-11-19 were captured. "
                "So nothing is said to rise or fall.",
            },
        ),
        (
            "event_date < DATE '2026-11-13'",
            {
                "Views": "228.",
                "People": "3.",
                "Not compared": "only 7 of the 14 days from 2026-11-06 to 2026-11-19 were captured. "
                "So nothing is said to rise or fall.",
            },
        ),
        (
            "event_date >= DATE '2026-11-13'",
            {
                "Views": "not known: none of the 7 days was captured.",
                "Not compared": "only 7 of the 14 days from 2026-11-06 to 2026-11-19 were captured. "
                "So nothing is said to rise or fall.",
            },
        ),
    ],
)
def test_what_was_not_captured_is_not_compared(
    not_captured: str, expected: dict[str, str], database: Path, tmp_path: Path
) -> None:
    text = told(
        changed(
            database,
            tmp_path,
            f"UPDATE usage_by_day SET is_captured = FALSE WHERE {not_captured}",
            "UPDATE usage_summary SET complete_value = NULL WHERE metric = 'impressions_60d'",
        )
    )
    found = lines(text)
    assert {about: says for about, says in found.items() if not about.endswith("files")} == {
        **expected,
        "Newly unused": "not known: not all of the 60 days up to 2026-11-19 were captured.",
    }


def test_two_empty_weeks_are_told(folders: dict[str, Path], tmp_path: Path) -> None:
    path = changed(folders["empty"] / "sigma_impressions.duckdb", tmp_path, "UPDATE usage_by_day SET impressions = 0")
    assert lines(told(path))["Views"] == "none: nobody viewed anything; 0 in the 7 days before."


# --- The command --------------------------------------------------------------------------------------------------


def test_before_anything_is_published_it_says_so(digest: Digest, tmp_path: Path) -> None:
    result = digest(tmp_path / "storage")
    assert result.exit_code == 1
    assert "There is no" in result.stderr
    assert "sigma-impressions run publishes it" in result.stderr


def test_a_database_of_an_earlier_version_is_told(database: Path, digest: Digest, tmp_path: Path) -> None:
    changed(database, tmp_path, "DROP TABLE usage_by_day").rename(tmp_path / "sigma_impressions.duckdb")
    result = digest(tmp_path)
    assert result.exit_code == 1
    assert "was published by another version" in result.stderr


def test_sending_needs_a_webhook(folders: dict[str, Path], digest: Digest) -> None:
    result = digest(folders["usual"], "--send")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("SIGMA_IMPRESSIONS_DIGEST_WEBHOOK: is not set.")


@pytest.mark.parametrize("answer", [Answer(500), Answer(302, headers={"Location": "https://elsewhere.example"})])
def test_a_webhook_that_does_not_take_it_is_named_without_its_address(
    answer: Answer, folders: dict[str, Path], digest: Digest
) -> None:
    with http_stub(lambda _: answer) as stub:
        result = digest(folders["usual"], "--send", DIGEST_WEBHOOK=stub.url + SECRET)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"The digest webhook answered HTTP {answer.status}. Check SIGMA_IMPRESSIONS_DIGEST_WEBHOOK" in result.stderr
    assert SECRET not in result.output
    assert stub.url not in result.output
    assert len(stub.requests) == 1


# --- By owner -----------------------------------------------------------------------------------------------------

OWNERS = (None, "", "ann@example.com", "a.nn@example.com", "a-nn@example.com", "user_0123456789ab", "ζoë", "../x" * 99)


@pytest.mark.parametrize("owner", OWNERS)
def test_every_owner_has_a_name_of_a_file(owner: str | None) -> None:
    assert re.fullmatch(r"owner-([a-z0-9-]+-)?[0-9a-f]{12}\.txt|no-owner\.txt", file_name(owner))
    assert [other for other in OWNERS if file_name(other) == file_name(owner)] == [owner]


def test_the_name_of_a_file_stays() -> None:
    assert file_name("ann@example.com") == "owner-ann-example-com-71d4f55f72fa.txt"


def index(folder: Path) -> list[dict[str, str]]:
    with (folder / "owners.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sections(text: str) -> dict[str, list[str]]:
    """The names of the workbooks in a file, by the heading that they stand under."""
    found: dict[str, list[str]] = defaultdict(list)
    heading = ""
    for line in text.splitlines():
        if line.endswith(":"):
            heading = line.removesuffix(":")
        elif line.startswith("- "):
            found[heading].append(line.removeprefix("- "))
    return dict(found)


def test_every_workbook_that_is_there_is_in_the_file_of_its_owner(database: Path, tmp_path: Path) -> None:
    written = export_owners(database, tmp_path / "owners")
    rows, folder = index(tmp_path / "owners"), tmp_path / "owners"
    assert (written.owners, written.workbooks, written.without_owner, written.removed) == (3, 15, 1, 0)
    assert [row["owner_email"] for row in rows] == ["ann@example.com", "bob@example.com", "cyd@example.com"]
    assert {path.name for path in folder.iterdir()} == {"owners.csv", "no-owner.txt", *(row["file"] for row in rows)}
    assert {stat.S_IMODE(path.stat().st_mode) for path in [*folder.iterdir(), folder]} == {0o600, 0o700}
    ann, bob, cyd = ((folder / row["file"]).read_text(encoding="utf-8") for row in rows)
    assert sections(ann) == {
        "Opened by nobody": ["Long ago", "Budget", "Nearly"],
        "Opened, the most viewed first": ["Churn", "Revived", "Board", "Pipeline", "Steady", "Sunset", "Launch"],
    }
    # What is too young to be called unused stands last.
    assert sections(bob) == {
        "Opened by nobody": ["Never", "Draft"],
        "Opened, the most viewed first": ["Embed"],
    }
    assert "Nobody has viewed it yet; it is younger than 14 days." in bob
    assert sections(cyd) == {"Opened by nobody": ["Forgotten"]}
    assert sections((folder / "no-owner.txt").read_text(encoding="utf-8")) == {"Opened by nobody": ["Orphan"]}
    assert [(row["workbooks"], row["unused_workbooks_60d"], row["unused_names"]) for row in rows] == [
        ("10", "3", "Long ago\nBudget\nNearly"),
        ("3", "2", "Never\nDraft"),
        ("1", "1", "Forgotten"),
    ]


def test_the_file_of_an_owner_says_what_there_is_to_say(database: Path, tmp_path: Path) -> None:
    export_owners(database, tmp_path)
    assert (tmp_path / file_name("bob@example.com")).read_text(encoding="utf-8").replace("\u2060", "") == (
        "Sigma workbooks of bob@example.com, as of 2026-11-20\n"
        "\n"
        "Workbooks: 3. Opened in the last 60 days: 1. Opened by nobody: 2.\n"
        "\n"
        "Opened by nobody:\n"
        "\n"
        "- Never\n"
        "  No view of it has been captured; the captured views begin on 2026-09-08.\n"
        "\n"
        "- Draft\n"
        "  in Acme/Sales\n"
        "  Nobody has viewed it yet; it is younger than 14 days.\n"
        "  https://app.sigmacomputing.com/acme/workbook/Draft\n"
        "\n"
        "Opened, the most viewed first:\n"
        "\n"
        "- Embed\n"
        "  in Acme/Sales\n"
        "  83 views in the last 60 days by 2 people, the last on 2026-11-16.\n"
        "  https://app.sigmacomputing.com/acme/workbook/Embed\n"
    )


def test_the_figures_of_the_table_are_those_that_are_published(database: Path, tmp_path: Path) -> None:
    export_owners(database, tmp_path)
    names = (
        "owner_email",
        "workbooks",
        "unused_workbooks_60d",
        "underused_workbooks",
        "impressions_60d",
        "viewers_60d",
    )
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute(
            f"SELECT {', '.join(names)} FROM owner_usage WHERE owner_email IS NOT NULL"
        ).fetchall()
    assert sorted(tuple(row[name] for name in names) for row in index(tmp_path)) == sorted(
        tuple(map(str, row)) for row in rows
    )


def test_what_an_earlier_export_left_is_gone_and_what_others_left_stays(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "owners"
    folder.mkdir()
    others = ("notes.txt", "owner-ann.txt", "owners.txt", "owner-ann-0123456789ab.txt.bak")
    for name in (*others, file_name("gone@example.com"), file_name("ann@example.com")):
        (folder / name).write_text("of before", encoding="utf-8")
    assert export_owners(database, folder).removed == 1
    assert {path.name for path in folder.iterdir()} > {*others, file_name("ann@example.com")}
    assert not (folder / file_name("gone@example.com")).exists()
    assert (folder / file_name("ann@example.com")).read_text(encoding="utf-8") != "of before"


def test_hostile_names_in_files_are_only_text(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "owners"
    written = export_owners(folders["hostile"] / "sigma_impressions.duckdb", folder)
    assert (written.owners, written.workbooks) == (9, 38)
    cells = [cell for row in index(folder) for cell in row.values()]
    assert not [cell for cell in cells for line in cell.splitlines() if line.startswith(tuple("=+-@"))]
    (of_many,) = [row["unused_names"] for row in index(folder) if row["unused_workbooks_60d"] == "30"]
    assert (of_many.count("\n"), of_many.endswith("\nand 10 more")) == (owners.NAMED, True)
    for path in folder.glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        # A mail program would make links of these.
        assert not re.search(r"(?i)://|javascript|\.example|@\w", text.replace("javascript:", "javascript"))
        assert all(line.replace("\u2060", "").isprintable() for line in text.splitlines())
        assert len([line for line in text.splitlines() if line.startswith("Workbooks: ")]) == 1


def test_without_a_workbook_there_is_a_table_with_its_header(database: Path, tmp_path: Path) -> None:
    path = changed(database, tmp_path, "DELETE FROM popular_resources", "DELETE FROM owner_usage")
    written = export_owners(path, tmp_path / "owners")
    assert (written.owners, written.workbooks, written.without_owner) == (0, 0, 0)
    assert [path.name for path in (tmp_path / "owners").iterdir()] == ["owners.csv"]
    assert (tmp_path / "owners" / "owners.csv").read_text(encoding="utf-8").startswith("as_of_date,")


def test_the_command_says_what_it_wrote(folders: dict[str, Path], digest: Digest, tmp_path: Path) -> None:
    folder = tmp_path / "owners"
    result = digest(folders["usual"], "--by-owner", str(folder))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{folder}/owners.csv: 3 owners, each with a file; 15 workbooks in all\n"
        f"{folder}/no-owner.txt: workbooks without an owner, 1 of them\n"
    )


def test_a_folder_that_cannot_be_written_is_named(folders: dict[str, Path], digest: Digest, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = digest(folders["usual"], "--by-owner", str(tmp_path / "file" / "owners"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{tmp_path}/file/owners cannot be written: Not a directory" in result.stderr
