"""The file `.env`: what is written reads back the same, and all the rest stays as somebody wrote it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import assume, given
from hypothesis import strategies as st

from sigma_impressions.errors import OperatorError
from sigma_impressions.settings.env_file import read_env_text
from sigma_impressions.setup.env_text import merged, variables_in, write_env_text

VALUES = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n\0") | st.sampled_from("#'\"\\${} =\t`"),
    max_size=12,
)
NAMES = st.sampled_from(["BUCKET", "SECRET", "DAYS"])
OTHERS = (
    "# a comment with 'an apostrophe\n",
    "\n",
    "  \t\n",
    "OTHER='kept # as it is'  # why\n",
    "export  SPACED = \"two words\" # 'why'\n",
    'LINES="first\nsecond"\n',
    "BARE\n",
    "EMPTY=\n",
    "HOME_OF=${OTHER}/x\n",
    "REPEATED=1\nREPEATED=2\n",
    "a line that is none\n",
)
OURS = (
    "BUCKET=old\n",
    "\n\n  export BUCKET = 'old#1' # where\n",
    "SECRET=#old\n",
    'SECRET="old # \\" value"#why\n',
    "DAYS= # none yet\n",
    "DAYS\n",
    "DAYS=5   # five",
)
LINES = st.lists(st.sampled_from(OTHERS + OURS), max_size=6)


@given(st.dictionaries(NAMES, VALUES | st.none(), min_size=1), LINES, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_is_written_reads_back_the_same_and_the_rest_stays(
    changes: dict[str, str | None], lines: list[str], end: str, is_marked: bool
) -> None:
    text = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines).replace("\n", end)
    text = f"\ufeff{text}" if is_marked else text
    result = merged(text, changes)
    wanted = {name: value for name, value in changes.items() if value is not None}
    kept = {name: value for name, value in variables_in(text).items() if name not in changes}
    assert variables_in(result) == kept | wanted
    others = [line.replace("\n", end) for line in lines if line in OTHERS]
    at = 0
    for line in others:
        at = result.index(line, at) + len(line)
    assert result.startswith("\ufeff") == is_marked
    # Written once more, nothing changes.
    assert merged(result, changes) == result


@given(st.text(st.sampled_from("AB=#'\"\\${}: \t\r\n\ufeffexport"), max_size=40), NAMES, VALUES)
def test_any_file_keeps_its_meaning_or_is_refused(text: str, name: str, value: str) -> None:
    before = variables_in(text)
    try:
        result = merged(text, {name: value})
    except OperatorError as refused:
        assert "cannot be changed: its line" in str(refused)
        return
    assume("${" not in text)
    assert variables_in(result) == {**before, name: value}


def test_a_comment_behind_a_value_and_the_lines_around_stay() -> None:
    text = "# mine\n\nexport DAYS='3' # a week is too long\r\nOTHER=1"
    assert merged(text, {"DAYS": "5"}) == "# mine\n\nexport DAYS=5 # a week is too long\r\nOTHER=1"
    assert merged(text, {"DAYS": None}) == "# mine\n\nOTHER=1"
    assert merged(text, {"BUCKET": "s3://a b"}) == f"{text}\r\nBUCKET='s3://a b'\r\n"
    assert merged("", {"KEY": "it's ${HOME} \\ #1"}) == "KEY='it\\'s ${:-$}{HOME} \\\\ #1'\n"


def test_a_secret_that_began_with_a_hash_does_not_become_a_comment() -> None:
    assert merged("SECRET=#old\n", {"SECRET": "new"}) == "SECRET=new\n"


def test_an_open_quote_is_told_by_its_line() -> None:
    with pytest.raises(OperatorError, match="its line 3 cannot be read, perhaps because a quote was left open"):
        merged("A=1\n\nB='open\nC=2\n", {"SECRET": "it's"})


def test_the_file_is_for_its_owner_only_and_a_link_stays(tmp_path: Path) -> None:
    env, elsewhere = tmp_path / ".env", tmp_path / "elsewhere"
    write_env_text(env, "A=1\n")
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    env.rename(elsewhere)
    elsewhere.chmod(0o644)
    env.symlink_to(elsewhere)
    write_env_text(env, merged(read_env_text(env), {"B": "ü"}))
    assert env.is_symlink()
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    assert dotenv_values(env, encoding="utf-8") == {"A": "1", "B": "ü"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "elsewhere"]


def test_a_crash_while_it_is_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = tmp_path / ".env"
    env.write_text("A=1\n")

    def no_room(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OperatorError, match=r"\.env cannot be written: No space left on device"):
        write_env_text(env, "A=2\n")
    assert env.read_text() == "A=1\n"
    assert list(tmp_path.iterdir()) == [env]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    assert read_env_text(env) == ""
    env.write_bytes(b"A=\xff\n")
    with pytest.raises(OperatorError, match=r"is not UTF-8 \(byte 2\)"):
        read_env_text(env)
    env.unlink()
    env.mkdir()
    with pytest.raises(OperatorError, match="cannot be read: Is a directory"):
        read_env_text(env)
