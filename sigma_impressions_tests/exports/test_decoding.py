"""Compression and encodings, and what is refused before a header is looked for."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tempfile
import zlib
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigma_impressions.exports.reading import decoding
from sigma_impressions.exports.reading.decoding import decode, open_text
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


@pytest.mark.parametrize(("more", "in_memory"), [(0, True), (1, False)])
def test_a_small_file_is_read_at_once(more, in_memory, tmp_path):
    content = b"a" * (decoding._SMALL + more)
    (tmp_path / "object").write_bytes(content)
    with open_text(tmp_path / "object") as source:
        assert isinstance(source, io.BytesIO) == in_memory
        assert source.read() == content


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


@given(data=st.binary(max_size=40).map(lambda data: b"x" + data) | st.binary(min_size=1, max_size=6))
def test_any_bytes_are_decoded_as_the_spec_says(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("decode", numbered=True)
    try:
        expected = reference.decode(data)
    except reference.Refused as refused:
        assert refusal(data, folder).reason == str(refused)
    else:
        assert decoded(data, folder)[0] == expected


def test_gzip_members_and_zero_padding(tmp_path):
    members = gzip.compress(b"a,b\n") + b"\0" * 3 + gzip.compress(b"1,2\n") + b"\0" * 600_000
    assert decoded(members, tmp_path)[0] == "a,b\n1,2\n"


@pytest.mark.parametrize("layers", [1, 2])
def test_gzip_of_nothing_is_an_empty_file(layers, tmp_path):
    data = b""
    for _ in range(layers):
        data = gzip.compress(data)
    assert refusal(data, tmp_path).reason == "empty file"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-be", "cp1252"])
def test_a_file_that_was_compressed_twice_is_read(encoding, tmp_path):
    data = TEXT.encode(encoding)
    packed = gzip.compress(gzip.compress(data[:20]) + gzip.compress(data[20:])) + bytes(5)
    assert decoded(packed, tmp_path)[0] == TEXT
    assert (tmp_path / ("decompressed" if encoding == "utf-8" else "decoded")).exists()


def test_damage_within_the_second_layer_is_named(tmp_path):
    torn = gzip.compress(gzip.compress(TEXT.encode())[:-5])
    assert refusal(torn, tmp_path).reason == "cannot be decompressed"
    assert refusal(gzip.compress(b"\x1f\x8bx"), tmp_path).reason == "cannot be decompressed"


OTHERS = {
    "compressed three times": gzip.compress(gzip.compress(gzip.compress(TEXT.encode()))),
    "zip": b"PK\x03\x04" + bytes(60),
    "an empty zip": b"PK\x05\x06" + bytes(18),
    "Parquet": b"PAR1\x15\x04\x15",
    "encrypted Parquet": b"PARE\x15\x04\x15",
    "zstd": b"\x28\xb5\x2f\xfd\x20\x95",
    "bzip2": bz2.compress(TEXT.encode()),
    "bzip2 of nothing": bz2.compress(b""),
    "xz": lzma.compress(TEXT.encode()),
    "UTF-32": TEXT.encode("utf-32"),
    "UTF-32 LE without mark": TEXT.encode("utf-32-le"),
    "UTF-32 BE without mark": TEXT.encode("utf-32-be"),
    "UTF-32 BE with mark": b"\0\0\xfe\xff" + TEXT.encode("utf-32-be"),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "within gzip"])
def test_what_is_no_text_is_called_by_its_name(name, pack, tmp_path):
    error = refusal(pack(OTHERS[name]), tmp_path)
    if name == "compressed three times" or pack is bytes:
        assert error.reason == "not a CSV file"
    first_word = name.split()[0].casefold()
    assert first_word in error.detail.casefold() or name.split()[-1].casefold() in error.detail.casefold()
    assert "HEADER_ALIASES" not in error.detail


@pytest.mark.parametrize("text", ["BZhours,request_time", "PAR1,request_time", "PARENT;x", "PK,x", "BZh91,x"])
def test_a_text_may_begin_with_the_letters_of_another_format(text, tmp_path):
    assert decoded(text.encode(), tmp_path)[0] == text


def test_damage_of_a_packed_file_comes_before_what_it_would_be(tmp_path):
    assert refusal(gzip.compress(OTHERS["zip"])[:-3], tmp_path).reason == "cannot be decompressed"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_told_by_its_first_two_characters(encoding, tmp_path):
    assert decoded(TEXT.encode(encoding), tmp_path) == (TEXT, ())
    assert refusal(TEXT.encode(encoding) + b"\0", tmp_path).reason == "cannot be decoded"
    unusual = "é" + TEXT
    assert decoded(unusual.encode(encoding), tmp_path)[0] != unusual  # its header line then holds NULs: refused


def test_one_zero_byte_is_no_utf16(tmp_path):
    assert decoded(b"a\0bc", tmp_path) == ("a\0bc", ())


# --- quotes behind a backslash


@pytest.mark.parametrize(
    ("text", "doubled"),
    [
        (r'"say \"hi\""', r'"say ""hi"""'),
        (r'"end \\"', r'"end \\"'),
        (r'"\\\"x"', r'"\\""x"'),
        (r"\n \\ \\\ C:\dir", r"\n \\ \\\ C:\dir"),
        (r"\é\"", r'\é""'),
        ("\\", "\\"),
        ('\\\n"x"', '\\\n"x"'),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 3, 5, 100])
def test_a_quote_behind_a_backslash_is_doubled_and_all_stays_where_it_is(text, doubled, block, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_BLOCK", block)
    path = tmp_path / "object"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    given = decoding.DecodedText(path, 3, ("x",))
    result = decoding.with_doubled_quotes(given, tmp_path)
    assert result.path.read_bytes()[result.start :].decode() == doubled
    assert result.path.stat().st_size == path.stat().st_size
    assert path.read_bytes()[3:].decode() == text
    assert result.warnings[0] == "x"
    assert decoding.holds_escaped_quotes(given) == ('\\"' in text)


@given(st.text(alphabet='\\\\\\"a\né', max_size=12), st.integers(1, 4))
def test_any_text_is_doubled_pair_by_pair_from_the_left(text, block):
    pairs = re.sub(r"\\.", lambda pair: '""' if pair[0] == '\\"' else pair[0], text, flags=re.DOTALL)
    with tempfile.TemporaryDirectory() as name, patch.object(decoding, "_BLOCK", block):
        path = Path(name) / "object"
        path.write_bytes(text.encode())
        for is_copy in (False, True):
            result = decoding.with_doubled_quotes(decoding.DecodedText(path, 0, (), is_copy), Path(name))
            assert (result.path == path) == is_copy
            assert result.path.read_bytes().decode() == pairs


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


def test_damaged_gzip_is_told_before_a_text_in_it_that_is_broken_too(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_BLOCK", 100)
    data = gzip.compress(b"\xff\xfe\x00\xd8a\x00" * 1000)[:-4]
    assert refusal(data, tmp_path).reason == "cannot be decompressed"


@pytest.mark.parametrize("layers", [1, 2])
def test_a_gzip_that_expands_too_far_is_refused_before_the_disk_is_full(layers, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "EXPANSION_FLOOR", 2**20)
    bomb = zlib.compressobj(wbits=31)
    data = b"".join(bomb.compress(b"\0" * 2**20) for _ in range(64)) + bomb.flush()
    data = gzip.compress(data) if layers == 2 else data
    error = refusal(data, tmp_path)
    assert error.reason == "expands too far"
    limit = max(2**20, decoding.EXPANSION_LIMIT * len(data))
    assert (tmp_path / "decompressed").stat().st_size <= limit


def test_a_gzip_that_expands_too_far_within_another_is_refused_by_what_the_outer_one_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "EXPANSION_FLOOR", 2**10)
    data = gzip.compress(gzip.compress(TEXT.encode()) + bytes(2**22))  # padding counts too: it is decompressed
    assert refusal(data, tmp_path).reason == "expands too far"
