"""Texts from outside: on a terminal, in Markdown, in a chat and in a log they are only read, whatever they hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sigma_impressions.check.step import Step
from sigma_impressions.defs.check_job import steps_as_markdown
from sigma_impressions.errors import Problem, ResourcesRefused, SettingsError
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.texts import LINE, VALUE, change, markdown, mrkdwn, percent, plain, printable, unlinked, value

PACKAGE = Path(__file__).parents[1] / "sigma_impressions"
MARKED = "![x](http://127.0.0.1:9/t.png) [Sign in](https://evil.example/login) **bold** <img src=x>.csv"
DECEIVING = (
    "\x1b]0;PWN\x1b\\",
    "\x9b2J",
    "a\nok    match: 100%",
    "a\r\x85\u2028\u2029b",
    "gnp.\u202excod",
    "\u2066\u2069\u200e\u200f\u061c",
    "in\u200bvis\ufeffible\u2060",
    "half \ud800 a pair",
    "\x00\x7f",
)
TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("*_`~[]()<>!#|&\\-+=.:/@ \n\t1w\x1b\u202e")))
LINKED_BY_MARKDOWN = (r"(?i)(https?://|www(?=\.))([-.\w]+)([^ \t\r\n]*)", r"([-.\w+]+)@([-\w]+(?:\.[-\w]+)+)")
"""What the Dagster UI turns into links in texts that it has rendered (mdast-util-gfm-autolink-literal)."""

LINKED_BY_CHATS = r"(?i)(https?|ftp|mailto)://|\bwww\.|[\w-]+\.(com|net|org|example|io)\b|\w@\w"


def shows(c: str) -> bool:
    return c.isprintable() or c in "\u200c\u200d"


@given(TEXTS)
@example("".join(DECEIVING))
def test_a_line_holds_only_what_is_seen_on_it(text: str) -> None:
    shown = printable(text)
    assert all(map(shows, shown))
    assert shown.encode().decode() == shown
    assert len(shown) == len(text)
    assert printable(shown) == shown
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize("text", DECEIVING)
def test_what_deceives_is_a_question_mark(text: str) -> None:
    assert "?" in printable(text)
    assert "?" in str(ResourcesRefused(text))
    assert "?" in RefusedFile("no header line", text).detail


@pytest.mark.parametrize(
    "text",
    [
        "Übersicht 2026",
        "売上　一覧",
        "می\u200cخواهم",
        "PDF\u200cها",
        "Excel\u200cی",
        "می\u200c رود",
        "👩\u200d💻 Team",
        "दृश्य",
        "Ж\u0301",
    ],
)
def test_names_of_any_script_stay(text: str) -> None:
    assert printable(text) == text.replace("\u3000", " ")


def test_a_joiner_that_joins_nothing_is_shown() -> None:
    assert printable("a\u200db é\u200d\u200dé \u200c") == "a?b é??é ?"


def test_lengths_are_bounded() -> None:
    assert value("x" * 10_000) == "x" * (VALUE - 1) + "…"
    assert len(printable("\n" * 10_000)) == LINE
    assert len(markdown("*" * 10_000)) == 2 * LINE - 1
    assert len(mrkdwn("&" * 10_000, 50)) == 49 * len("&amp;") + 1


def test_an_error_has_a_line_for_each_problem_and_no_more() -> None:
    problems = (Problem("A\nB", "is\x1b[2J wrong"), Problem("C", "x\u2028y"))
    assert str(SettingsError(*problems)) == "A?B: is?[2J wrong\nC: x?y"


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "0 %"),
        (0, 7, "0 %"),
        (1, 10_000, "less than 0.1 %"),
        (4, 1_000, "0.4 %"),
        (84, 25_160, "0.3 %"),
        (96, 1_000, "9.6 %"),
        (12, 100, "12 %"),
        (1, 3, "33 %"),
        (996, 1_000, "99.6 %"),
        (99_999, 100_000, "more than 99.9 %"),
        (200, 200, "100 %"),
    ],
)
def test_shares_are_written_as_people_write_them(part: int, whole: int, shown: str) -> None:
    assert percent(part, whole) == shown


@pytest.mark.parametrize(
    ("now", "before", "shown"),
    [
        (5, 0, "none"),
        (0, 0, "none"),
        (7, 7, "as many"),
        (0, 7, "100.0% fewer than 7"),
        (107, 100, "7.0% more than 100"),
        (25_160, 2_516, "900.0% more than 2,516"),
        (9_978, 9_979, "less than 0.1% fewer than 9,979"),
    ],
)
def test_a_change_is_said_in_words(now: int, before: int, shown: str) -> None:
    assert change(now, before) == shown


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_only_nothing_is_0_percent_and_only_all_is_100(part: int, missing: int) -> None:
    assert percent(part, part + missing) not in ("0 %", "100 %")


@given(TEXTS)
@example(MARKED)
@example("# x")
@example("1) x\n2) y")
@example("---\n===")
@example("_a_ __b__ c_d_ &copy; a@b.cd www.x.y https://x.y")
@example("| a | b |\n| - | - |\n| c | d |")
@example("[^1] [x]: https://x.y 'z'")
def test_markdown_shows_a_text_as_it_is(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown(text))
    said = "".join(token.content for token in tokens if token.type == "inline")
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    children = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in children} <= {"text"}
    rendered = "".join(child.content for child in children)
    assert not any(re.search(link, rendered) for link in LINKED_BY_MARKDOWN)
    assert plain(said) == rendered.replace("\u2060", "") == " ".join(printable(text).split())


def test_markdown_leaves_names_of_settings_as_they_are() -> None:
    said = "set SIGMA_IMPRESSIONS_EVENT_TYPES=VIEW, then backfill --from 2026-09-01, for s3://bucket/a-b.csv.gz (7 %)."
    assert markdown(said) == said


@given(TEXTS)
@example("a | b\n| c | d |")
@example(MARKED)
def test_the_table_of_the_job_shows_what_the_steps_say(text: str) -> None:
    table = steps_as_markdown([Step("list", True, text), Step("get", False, text)])
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(table)
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 3 * 3
    for said in (cells[5], cells[8]):
        assert {child.type for child in said.children or ()} <= {"text"}
        assert plain(said.content) == " ".join(printable(text).split())


@given(TEXTS)
@example(f"<!channel> <https://evil.example|x> @here evil.com/login http://1.2.3.4 slack://x ftp://y {MARKED}")
@example("*b* _i_ ~s~ `c` ```d```\n> e\n*b*")
def test_a_chat_shows_a_text_as_it_is(text: str) -> None:
    shown = mrkdwn(text)
    assert all(map(shows, shown.replace("\u2060", "")))
    assert not set(shown) & set("<>*`~\n\r\x1b")
    assert "](" not in shown
    assert "&" not in re.sub("&(amp|lt|gt);", "", shown)
    assert not re.search(r"(?<![^\W_])_|_(?![^\W_])", shown)
    assert not re.search(LINKED_BY_CHATS, shown)


@given(TEXTS)
@example("https://evil.example/login evil.com a@evil.example [x](http://evil.example)")
def test_a_mail_makes_no_link_of_a_text(text: str) -> None:
    shown = unlinked(text)
    assert shown.replace("\u2060", "") == printable(" ".join(text.split()))
    assert not re.search(LINKED_BY_CHATS, shown)


def test_a_chat_shows_keys_as_they_are() -> None:
    said = "s3://bucket/2026-11-20_usage.csv.gz was refused; set SIGMA_BASE_URL in .env, 3.5 %"
    assert mrkdwn(said) == said


@pytest.mark.parametrize(
    ("written", "home", "instead"),
    [
        (r"\bcontext\.log\.", "defs/logs.py", "log_of(context)"),
        (r"\bconsole\.print\([^)]", "terminal.py", "terminal.say"),
        (r"AssetCheckResult\($", "defs/checks.py", "Check.result"),
        (r"MetadataValue\.table\(", "defs/metadata.py", "table_of"),
        (r":\.\d*[efg]\} ?%", "texts.py", "percent"),
    ],
)
def test_each_output_has_one_home(written: str, home: str, instead: str) -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(written, path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    # The table of the summary is no line.
    assert found <= {home, *(("console.py",) if home == "terminal.py" else ())}, f"use {instead}"
