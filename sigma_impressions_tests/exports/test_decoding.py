"""Compression and encodings, and what is refused before a header is looked for."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigma_impressions.exports.reading import decoding
from sigma_impressions.exports.reading.decoding import decode
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions_tests.exports import reference

TEXT = "request_time,user_email\n2026-11-19,zoë@example.com\n"


def decoded(data: bytes, folder: Path) -> tuple[str, tuple[str, ...]]:
    path = folder / "object"
    path.write_bytes(data)
    result = decode(path, folder)
    return result.path.read_bytes()[result.start :].decode(), result.warnings


def refusal(data: bytes, folder: Path) -> RefusedFile:
    with pytest.raises(RefusedFile) as caught:
        decoded(data, folder)
    return caught.value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_unicode_encodings_plain_or_compressed(encoding, compress, tmp_path):
    assert decoded(compress(TEXT.encode(encoding)), tmp_path) == (TEXT, ())


def test_utf16_big_endian(tmp_path):
    assert decoded(b"\xfe\xff" + TEXT.encode("utf-16-be"), tmp_path) == (TEXT, ())


def test_plain_utf8_is_used_where_it_is(tmp_path):
    path = tmp_path / "object"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    result = decode(path, tmp_path)
    assert (result.path, result.start) == (path, 3)
    assert list(tmp_path.iterdir()) == [path]


def test_windows_1252_without_any_valid_multibyte_character(tmp_path):
    text, warnings = decoded(b"a\n" + "zoë €5".encode("cp1252") + b"\x81", tmp_path)
    assert text == "a\nzoë €5\ufffd"  # Windows-1252 leaves 0x81 undefined
    assert warnings == ("not valid UTF-8 (byte 5): the file is read as Windows-1252",)


def test_utf8_with_some_invalid_bytes(tmp_path):
    text, warnings = decoded("zoë ".encode() + b"\xff\xc3", tmp_path)
    assert text == "zoë \ufffd\ufffd"
    assert warnings == ("not valid UTF-8 (byte 6): invalid bytes are read as U+FFFD",)


def test_a_replacement_character_in_the_file_is_valid_utf8(tmp_path):
    assert decoded("\ufffd".encode() + b"\xe9", tmp_path)[0] == "\ufffd\ufffd"


@pytest.mark.parametrize("cut", range(-3, 4))
def test_characters_across_block_borders(cut, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_BLOCK", 8)
    text = "a" * (8 + cut) + "€€€€€"
    assert decoded(text.encode(), tmp_path) == (text, ())
    assert decoded(text.encode("utf-16"), tmp_path) == (text, ())
    invalid = text.encode() + b"\xe9!"
    _, (warning,) = decoded(invalid, tmp_path)
    assert warning.startswith(f"not valid UTF-8 (byte {len(invalid) - 1}):")


@given(data=st.binary(max_size=40).map(lambda data: b"x" + data))
def test_any_bytes_are_decoded_as_the_spec_says(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("decode", numbered=True)
    assert decoded(data, folder)[0] == reference.decode(data)


def test_gzip_members_and_zero_padding(tmp_path):
    members = gzip.compress(b"a,b\n") + b"\0" * 3 + gzip.compress(b"1,2\n") + b"\0" * 600_000
    assert decoded(members, tmp_path)[0] == "a,b\n1,2\n"


def test_an_empty_gzip_is_not_an_empty_file(tmp_path):
    assert decoded(gzip.compress(b""), tmp_path)[0] == ""


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(TEXT.encode())[:-1],
        gzip.compress(TEXT.encode())[:12],
        b"\x1f\x8b",
        gzip.compress(TEXT.encode()) + b"surplus",
        gzip.compress(TEXT.encode()) + gzip.compress(TEXT.encode())[:15],
        gzip.compress(TEXT.encode())[:-8] + b"\0" * 8,
    ],
    ids=["torn", "torn early", "magic only", "surplus", "torn second member", "wrong checksum"],
)
def test_damaged_gzip_is_refused(data, tmp_path):
    assert refusal(data, tmp_path).reason == "cannot be decompressed"


def test_empty_file_is_refused(tmp_path):
    assert refusal(b"", tmp_path).reason == "empty file"


@pytest.mark.parametrize("data", [b"\xff\xfea", b"\xff\xfe\x00\xd8a\x00"], ids=["odd length", "lone surrogate"])
def test_broken_utf16_is_refused(data, tmp_path):
    assert refusal(data, tmp_path).reason == "cannot be decoded"


def test_a_gzip_that_expands_too_far_is_refused_before_the_disk_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "EXPANSION_FLOOR", 2**20)
    bomb = zlib.compressobj(wbits=31)
    data = b"".join(bomb.compress(b"\0" * 2**20) for _ in range(64)) + bomb.flush()
    error = refusal(data, tmp_path)
    assert error.reason == "expands too far"
    assert (tmp_path / "decompressed").stat().st_size <= decoding.EXPANSION_LIMIT * len(data)
