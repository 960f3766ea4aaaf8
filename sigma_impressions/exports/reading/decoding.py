"""From an object's bytes to plain UTF-8 text: compression and encodings, streamed within bounded memory."""

from __future__ import annotations

import codecs
import io
import mmap
import os
import re
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sigma_impressions.exports.reading.refused import RefusedFile

GZIP_MAGIC = b"\x1f\x8b"

EXPANDED_LIMIT = 20 * 10**9
"""Bytes of text one file may decompress to. Sigma writes at most 5 GB; more would only fill the disk."""

EXPANSION_LIMIT = 200
"""How many times its compressed size a file may decompress to; audit logs compress 5 to 40 times."""

EXPANSION_FLOOR = 2**30
"""Bytes below which the ratio is not looked at: a file of equal rows may well compress 500 times."""

_PART = 32 * 2**20
"""Bytes of a file that are worth a thread."""

_SMALL = 64 * 2**10
"""Bytes of a file that is read at once."""

_BLOCK = 256 * 2**10
"""Small enough that a decoded block stays in the processor's cache: bigger ones were seen to be slower."""


@dataclass(frozen=True)
class DecodedText:
    """A local file that holds an export's text as valid UTF-8 from byte `start` on (after a byte order mark).

    `path` is the object's own file if that is such text already, else a new file in the scratch folder: `is_copy`.
    """

    path: Path
    start: int
    warnings: tuple[str, ...]
    is_copy: bool = False


def decode(path: Path, scratch: Path) -> DecodedText:
    """Decompress and decode the file `path` (docs/sigma-export.md, "Files"), using the folder `scratch` if needed.

    Raises RefusedFile: "empty file", "not a CSV file", "cannot be decompressed", "cannot be decoded",
    "expands too far".
    """
    content = _Content(partial(_blocks, path))
    head = content.head(_HEAD)
    for _ in range(GZIP_LAYERS):
        if head.startswith(GZIP_MAGIC):
            content = _Content(partial(_decompressed, content.blocks, path.stat().st_size), is_packed=True)
            head = content.head(_HEAD)
    plain = not content.is_packed
    if not head:
        raise RefusedFile("empty file", f"The file has no bytes{'' if plain else ' of text'} at all; export it again.")
    other = _other_format(head)
    if other:
        content.read_to_end()
        raise RefusedFile("not a CSV file", other)
    utf16 = _utf16_encoding(head)
    if utf16:
        return DecodedText(content.transcode(utf16, "strict", 0, scratch / "decoded"), 0, (), is_copy=True)
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    text = path if plain else content.copy(scratch / "decompressed")
    invalid = _first_invalid_utf8(text, start)
    if invalid is None:
        return DecodedText(text, start, (), is_copy=not plain)
    if _holds_multibyte_utf8(text, start):
        encoding, answer = "utf-8", "invalid bytes are read as U+FFFD"
    else:
        encoding, answer = "cp1252", "the file is read as Windows-1252"
    if not plain:
        text.unlink()  # the scratch folder never holds the text twice
    decoded = content.transcode(encoding, "replace", start, scratch / "decoded")
    return DecodedText(decoded, 0, (f"not valid UTF-8 (byte {invalid + 1:,}): {answer}",), is_copy=True)


GZIP_LAYERS = 2
"""How often a file may be compressed: by whoever wrote it, and once more by what uploaded it."""

_HEAD = 16
"""First bytes that tell what a file is."""

_PACKED = "unpack it, and upload the CSV file that is in it"
_BINARY = "choose CSV as the format of the export"
_RECODED = "write it as UTF-8"

_OTHER_FORMATS = {
    "a gzip file that was compressed more than twice": (rb"\x1f\x8b\x08", _PACKED),
    "a ZIP archive or an Excel workbook": (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", f"{_PACKED}, or {_BINARY}"),
    "a Parquet file": (rb"PAR[1E](?![\x20-\x7e\t\r\n])", _BINARY),
    "packed with zstd": (rb"\x28\xb5\x2f\xfd", f"{_PACKED}, or compress it with gzip"),
    "packed with bzip2": (rb"BZh[1-9](?:1AY&SY|\x17rE8P)", f"{_PACKED}, or compress it with gzip"),
    "packed with xz": (rb"\xfd7zXZ\0", f"{_PACKED}, or compress it with gzip"),
    "text in UTF-32": (rb"\xff\xfe\0\0|\0\0\xfe\xff|[^\0]\0\0\0|\0\0\0[^\0]", _RECODED),
}
"""What is no text that could be read: how its first bytes look, and what to do. A text may begin with `BZh` or
`PAR1`; more than these letters is looked at."""


def _other_format(head: bytes) -> str | None:
    for name, (beginning, remedy) in _OTHER_FORMATS.items():
        if re.match(beginning, head, re.DOTALL):
            return f"By its first bytes it is {name}; {remedy}."
    return None


def _utf16_encoding(head: bytes) -> str | None:
    """The encoding of a text in UTF-16, with its mark, or with two ASCII characters at the beginning."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if re.match(rb"(?:[\x01-\x7f]\0){2}", head):
        return "utf-16-le"
    return "utf-16-be" if re.match(rb"(?:\0[\x01-\x7f]){2}", head) else None


@dataclass(frozen=True)
class _Content:
    """The bytes of an object once they are decompressed; `blocks` begins with the first one each time."""

    blocks: Callable[[], Iterator[bytes]]
    is_packed: bool = False

    def head(self, size: int) -> bytes:
        """Its first bytes."""
        found = b""
        for block in self.blocks():
            found += block
            if len(found) >= size:
                break
        return found[:size]

    def read_to_end(self) -> None:
        """Raises what is wrong with the compression: that is told before anything that is wrong with the text."""
        for _ in self.blocks() if self.is_packed else ():
            pass

    def copy(self, target: Path) -> Path:
        """Write it to a file."""
        with target.open("wb") as out:
            for block in self.blocks():
                out.write(block)
        return target

    def transcode(self, encoding: str, errors: str, start: int, target: Path) -> Path:
        """Write it to a file as UTF-8, from byte `start` on. Raises RefusedFile: "cannot be decoded"."""
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        try:
            with target.open("wb") as out:
                for block in _from_byte(self.blocks(), start):
                    out.write(decoder.decode(block, False).encode("utf-8"))
                out.write(decoder.decode(b"", True).encode("utf-8"))
        except UnicodeDecodeError as error:
            self.read_to_end()
            raise RefusedFile(
                "cannot be decoded",
                f"The file begins as UTF-16 does but is not UTF-16 ({error.reason}); export it again, best as UTF-8.",
            ) from error
        return target


def _from_byte(blocks: Iterator[bytes], start: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[start:]
        start = max(0, start - len(block))


def _decompressed(blocks: Callable[[], Iterator[bytes]], size: int) -> Iterator[bytes]:
    """The decompressed blocks of gzip data from a file of `size` bytes.

    Raises RefusedFile: "cannot be decompressed", "expands too far".
    """
    limit = min(EXPANDED_LIMIT, max(EXPANSION_FLOOR, EXPANSION_LIMIT * size))
    expanded = 0
    for block in _inflate(blocks()):
        expanded += len(block)
        if expanded > limit:
            raise RefusedFile(
                "expands too far",
                f"Its {size:,} compressed bytes hold more than the {limit:,} bytes of text that are "
                "accepted; export fewer rows per file, or not compressed.",
            )
        yield block


def _inflate(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The decompressed blocks of all gzip members; zero bytes after a member are padding, as for `gzip -d`."""
    member = zlib.decompressobj(wbits=31)
    begun = True  # inside the first member even before its first byte
    read = 0
    for block in blocks:
        pending = block
        read += len(block)
        while pending:
            if not begun:
                pending = pending.lstrip(b"\0")
                if not pending:
                    break
                member, begun = zlib.decompressobj(wbits=31), True
            try:
                yield member.decompress(pending, _BLOCK)
            except zlib.error as error:
                raise RefusedFile(
                    "cannot be decompressed",
                    f"The gzip data is damaged before compressed byte {read:,} ({error}); export the file again.",
                ) from error
            pending = member.unused_data if member.eof else member.unconsumed_tail
            begun = not member.eof
    if begun:
        raise RefusedFile(
            "cannot be decompressed",
            f"The gzip data breaks off at compressed byte {read:,}, before its end mark; the upload was "
            "probably cut short: export the file again.",
        )


def open_text(path: Path) -> BinaryIO:
    """Open a file to read it. A small one is read at once: each step in a file takes as long as to read all of it."""
    with path.open("rb", buffering=0) as source:
        size = os.fstat(source.fileno()).st_size
        if size <= _SMALL and len(content := source.read(size)) == size:
            return io.BytesIO(content)
    return path.open("rb")


def _blocks(path: Path, start: int = 0) -> Iterator[bytes]:
    with open_text(path) as source:
        source.seek(start)
        while block := source.read(_BLOCK):
            yield block


def _first_invalid_utf8(path: Path, start: int) -> int | None:
    """Offset of the first byte that is not valid UTF-8; None if all are."""
    if _is_ascii(path):
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = start
    pending = 0  # bytes of an unfinished character that the decoder keeps from the block before
    try:
        for block in _blocks(path, start):
            if pending or not block.isascii():
                decoder.decode(block)
                pending = len(decoder.getstate()[0])
            offset += len(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return offset - pending + error.start
    return None


def _is_ascii(path: Path) -> bool:
    """Whether the whole file is ASCII, as most exports are; looked at by all processors, since the rest waits."""
    size = path.stat().st_size
    if size <= _PART:
        return all(block.isascii() for block in _blocks(path))  # starting a thread takes longer than a small file
    parts = range(0, size, max(_PART, -(-size // (os.cpu_count() or 1))))
    with path.open("rb") as source:

        def is_part_ascii(begin: int) -> bool:
            return _is_part_ascii(source.fileno(), begin, min(begin + parts.step, size))

        with ThreadPoolExecutor(len(parts)) as pool:
            return all(pool.map(is_part_ascii, parts))


def _is_part_ascii(file: int, begin: int, end: int) -> bool:
    for offset in range(begin, end, _BLOCK):
        block = os.pread(file, min(_BLOCK, end - offset), offset)
        if np.frombuffer(block, np.uint8).max() > 0x7F:
            return False
    return True


def _holds_multibyte_utf8(path: Path, start: int) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    return any(not decoder.decode(block).isascii() for block in _blocks(path, start))


def holds_escaped_quotes(text: DecodedText) -> bool:
    r"""Whether a quote stands behind a backslash anywhere, as in `"say \"hi\""`."""
    with text.path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b'\\"', text.start) >= 0


def with_doubled_quotes(text: DecodedText, scratch: Path) -> DecodedText:
    r"""The text with `""` in place of every `\"`; all stays where it is, so a copy is changed in its own place.

    A backslash before any other character, a second backslash included, stays as it is with that character.
    """
    target = text.path if text.is_copy else scratch / "doubled"
    pending = b""
    with target.open("r+b" if text.is_copy else "wb") as out:
        for block in _blocks(text.path):
            joined = pending + block
            # The last of an odd number of backslashes belongs to the character behind it.
            end = len(joined) - (len(joined) - len(joined.rstrip(b"\\"))) % 2
            out.write(_doubled(joined[:end]))
            pending = joined[end:]
        out.write(pending)
    answer = r"the quoting is malformed unless \" stands for a quote: so it is read"
    return DecodedText(target, text.start, (*text.warnings, answer), is_copy=True)


def _doubled(text: bytes) -> bytes:
    # No text in UTF-8 holds this byte. Pairs of backslashes are told from the left.
    pair = b"\xff\xff"
    return text.replace(b"\\\\", pair).replace(b'\\"', b'""').replace(pair, b"\\\\")
