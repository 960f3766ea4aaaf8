"""The file `.env`: who wins, and what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sigma_impressions.errors import OperatorError
from sigma_impressions.settings.env_file import load_env_file

URI = "SIGMA_IMPRESSIONS_BUCKET_URI"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Set first, so that what the file adds goes with the test.
    monkeypatch.setenv(URI, "s3://of-the-environment/b")
    monkeypatch.delenv(URI)
    return tmp_path


def test_the_file_sets_what_the_environment_does_not(project: Path) -> None:
    (project / ".env").write_text(f"{URI}=s3://of-the-file/a\n")

    load_env_file(project)

    assert os.environ[URI] == "s3://of-the-file/a"


@pytest.mark.parametrize("value", ["s3://of-the-environment/b", ""])
def test_the_environment_wins_also_with_nothing(project: Path, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URI, value)
    (project / ".env").write_text(f"{URI}=s3://of-the-file/a\n")

    load_env_file(project)

    assert os.environ[URI] == value


def test_no_file_is_no_fault(project: Path) -> None:
    load_env_file(project)

    assert URI not in os.environ


def test_a_byte_order_mark_belongs_to_no_name(project: Path) -> None:
    (project / ".env").write_text(f"{URI}=s3://of-the-file/a\n", "utf-8-sig")

    load_env_file(project)

    assert os.environ[URI] == "s3://of-the-file/a"


def test_a_file_of_another_encoding_is_told(project: Path) -> None:
    (project / ".env").write_text(f"{URI}=s3://of-the-file/a\n", "utf-16")

    with pytest.raises(OperatorError, match=r"/\.env is not UTF-8 \(byte 0\)\. Save it as UTF-8\."):
        load_env_file(project)


@pytest.mark.parametrize("text", [f"{URI}=s3://a\0b\n".encode(), f"{URI}=s3://of-the-file/a\n".encode("utf-16-le")])
def test_a_file_with_zero_bytes_is_told(project: Path, text: bytes) -> None:
    (project / ".env").write_bytes(text)

    with pytest.raises(OperatorError, match=rf"/\.env is no text: its byte {text.index(0)} is zero"):
        load_env_file(project)


def test_a_name_that_no_variable_can_have_is_told(project: Path) -> None:
    (project / ".env").write_text("'A=B'=3\n")

    with pytest.raises(OperatorError, match=r"/\.env gives a variable a name with = in it"):
        load_env_file(project)


def test_a_folder_of_this_name_is_told(project: Path) -> None:
    (project / ".env").mkdir()

    with pytest.raises(OperatorError, match=r"/\.env cannot be read: Is a directory"):
        load_env_file(project)
