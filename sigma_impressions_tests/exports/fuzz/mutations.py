"""Changes of an input that know what an export file is made of: half of them keep it a readable file."""

from __future__ import annotations

import codecs
import gzip
import random
import re
import zlib
from collections.abc import Callable
from itertools import chain

from sigma_impressions.exports.reading.headers import COLUMNS
from sigma_impressions_tests.exports.fuzz.target import ENLARGED_HERE, SETTINGS_BYTES

_TIMES = (
    "2026-11-19T08:00:00Z",
    "2026-11-19 08:00:00",
    "2026-11-19T08:00:00.123456789Z",
    "2026-11-19T08:00:00.1 +02:00",
    "2026-11-19",
    "2026-11-19 08:00:00 UTC",
    "2026-11-19T08:00:00+0530",
    "2026-11-19T08:00:00-08",
    "1763539200",
    "1763539200123",
    "2026-03-29 02:30:00",
    "2025-10-26 02:30:00",
    "2026-03-08T02:30:00",
    "2026-04-05 01:45:00",
    "2011-12-30 12:00:00",
    "2024-02-29T23:59:59.999999",
    "2023-02-29T00:00:00Z",
    "2026-11-21T06:00:00Z",
    "2026-11-21T06:00:00.000001Z",
    "2009-12-31T23:59:59.999999Z",
    "2010-01-01T00:00:00Z",
    "9999-12-31T23:59:59-05:00",
    "0001-01-01T00:00:00+23:59",
    "0000-01-01",
    "2026-11-19T24:00:00Z",
    "2026-11-19T23:59:60Z",
    "2026-11-19T08:00:00+24:00",
    "9999999999",
    "0000000000",
    "soon",
)
_USERS = ("Ann@Example.com", "x@bots.example.com", "zoë@example.com", "ΑΣ@x.gr", "İ@x", "a", "null", "")
_WORKBOOKS = (
    "2opi6VLEne4BaPyj00US50",
    "https://app.sigmacomputing.com/acme/workbook/Sales-Overview-2opi6VLEne4BaPyj00US50?:displayNodeId=x",
    "https://x/b/AbC/b/DeF#/b/no",
    "/workbook/a-",
    "/workbook/b/x",
    "d6c07b3f-e008-f636-0377-333740d8a2fd",
    "NULL",
    "",
)
_COUNTS = (
    *("1", "0", "3.000", "07", "1000000000", "1000000001", "99999999999999999999", "+1", "-1", "1e3", "1.", "1.5"),
    *("00000000000000000000004.0", "\u0663", ""),
)
_STATUSES = ("success", "SUCCESS", "ſuccess", "failure", "Null", "")
_VALUES = {
    "request_time": _TIMES,
    "user_email": _USERS,
    "workbook_url_id": _WORKBOOKS,
    "element_id": ("el-1", "El-1", r"\N", ""),
    "count": _COUNTS,
    "event_id": ("e-1", ""),
    "event_status": _STATUSES,
    "event_type": ("view", "Viewed it", "edit", ""),
}
# Good values first: what a new file holds most of is taken of the first half.
_ID = "2opi6VLEne4BaPyj00US50"
_ABSENT = ("None", "NaN", "(null)", "<NULL>", "n/a", "#N/A", "Undefined", "-", r"\\N", "\0\0", "''", "' null '")
_MORE_VALUES: dict[str, tuple[str, ...]] = {
    "request_time": (
        "2026-11-19 08:00",
        "2026-11-19T08:00:00,5 gmt",
        "Thu, 19 Nov 2026 08:00:00 +0100",
        "6 sep 2026 00:30:00",
        "1763539200123456",
        "1763539200123456789",
        "1763539200.25",
        "2026-09-06",  # its midnight is skipped in Santiago
        "'2026-11-19'",
        "2026-09-06 00:30",
        "1763539200,5",
        "\u017fun, 6 Sep 2026 08:00:00",
    ),
    "user_email": ("'Ann@Example.com'", '" x@bots.example.com "', "nobody", "'", *_ABSENT),
    "workbook_url_id": (
        f"Sales-{_ID}",
        f"https://x/acme/workbook/Sales-{_ID}/element/El-1?:email=ann%40x",
        f"https%3A%2F%2Fx%2Fb%2F{_ID}%2Felement%2FEl-1%3Fann%40x",
        f"https://ann:secret@x/embed/1-{_ID[:21]}#ann",
        "https%3a%2f%2fann%3asecret%40x%2fdashboard%2fa",
        f"//element/{_ID}/element/element//x",
        "https://x/element/workbook/a-b/element/null",
        f"{_ID}?a/element/b",
        "a-?ann",
        "?",
        *_ABSENT,
    ),
    "element_id": ("n1", "'El-1'", *_ABSENT),
    "count": ("3.0", "2.000", "'2'", "1,000", "1.234", *_ABSENT),
    "event_id": ("undefined1", *_ABSENT),
    "event_status": ("'success'", *_ABSENT),
    "event_type": ("view_workbook", "View Element", "VIEW", "export", "x", "", *_ABSENT),
}
_VALUES |= {column: (*more, *_VALUES.get(column, ())) for column, more in _MORE_VALUES.items()}

_MARKS = (
    *(',;\t|"\r\n\0 \x0b\x1c\x1f\x85\xa0\u2028\u3000\ufeff\ufffd\U0001f600'),
    *(
        "\r\n",
        "\r\r\n",
        '""',
        '"""',
        '",',
        ',"',
        '"\n',
        '"\r',
        '"\r\n',
        '\n"',
        "\n\n",
        "\r\n\r\n",
        '"x',
        'x"',
        "\\N,",
        ",,",
        "\\",
        "\\\\",
        '\\"',
        '\\""',
        '"\\"',
        '\\\\"',
    ),
)
_LINES = ("sep=;", "sep=,", "sep=\t", '"sep=|"', "SEP=; ", "sep=", '{"a":1,"b":[', "<html>")
_NAMES = [name for column, aliases in COLUMNS.items() for name in (column, *aliases)]
_MORE_NAMES = [
    *("Who", "login-name", "n", "when", "Zeit", "ok", "doc", "part", "id", "Request Time", "USER_EMAIL", "-"),
    *("Count of Rows", "count of x", "Count of Distinct Rows", "requestTime", "[User Email]", "viewCount"),
]
_BYTES = (
    b"\xff",
    b"\xc3",
    b"\xe2\x80",
    b"\x80",
    b"\x81",
    b"\x1f\x8b",
    b"\x1f\x8b\x08",
    b"PK\x03\x04",
    b"PAR1",
    b"BZh9",
    b"BZh91AY&SY",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ\0",
    b"a\0b\0",
    codecs.BOM_UTF8,
    codecs.BOM_UTF16_LE,
    b"\xd8\x00",
)

TOKENS = [
    *dict.fromkeys(
        text.encode() for text in (*chain(*_VALUES.values()), *_MARKS, *_LINES, *_NAMES, *_MORE_NAMES) if text
    ),
    *_BYTES,
    ENLARGED_HERE,
]


def mutated(raw: bytes, most: int, seed: int, any_change: Callable[[bytes, int], bytes]) -> bytes:
    """Another input of at most `most` bytes; `any_change` changes bytes without any knowledge of them."""
    dice = random.Random(seed)
    if dice.random() < 0.4:
        return _new(dice)[:most]
    settings, data = raw[:SETTINGS_BYTES].ljust(SETTINGS_BYTES, b"\0"), raw[SETTINGS_BYTES:]
    if dice.random() < 0.15:
        at = dice.randrange(SETTINGS_BYTES)
        settings = settings[:at] + bytes([dice.randrange(256)]) + settings[at + 1 :]
    text, wrap = (data, bytes) if dice.random() < 0.1 else _unwrapped(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 5))):
        change = dice.choice(_CHANGES)
        text = change(text, dice) if change else any_change(text, most - SETTINGS_BYTES)
    if dice.random() < 0.08:
        wrap = dice.choice(_WRAPS)
    return (settings + wrap(text))[:most]


# --- a new input


def _new(dice: random.Random) -> bytes:
    """A readable file of a few rows, most of them good ones; now and then something is odd."""
    required, optional = ["request_time", "user_email", "workbook_url_id"], list(_VALUES)[3:]
    columns = [*required, *dice.sample(optional, dice.randint(0, len(optional)))]
    dice.shuffle(columns)
    delimiter = dice.choice((",", ",", ";", "\t", "|"))
    line_end = dice.choice(("\n", "\n", "\r\n", "\r\n", "\r"))
    quoted = dice.choice((0.0, 0.0, 0.3, 1.0))
    odd = dice.choice((0.0, 0.1, 0.5))
    usual = {column: dice.choice(values[: len(values) // 2 + 1]) for column, values in _VALUES.items()}
    names = {column: dice.choice((column, column.title().replace("_", ""), *COLUMNS[column])) for column in columns}
    if "count" in names and dice.random() < 0.2:
        names["count"] = "Count of Rows"
    lines = [delimiter.join(names.values())]
    trailing = dice.choice(("",) * 6 + (delimiter, f"{delimiter} ", f'{delimiter}""'))
    quote = dice.choice(('""', '""', '""', '\\"'))
    for _ in range(dice.choice((0, 1, 2, 3, 3, 8))):
        fields = []
        for column in columns:
            value = dice.choice(_VALUES[column]) if dice.random() < 0.3 else usual[column]
            value = _decorated(value, dice) if dice.random() < odd else value
            fields.append('"{}"'.format(value.replace('"', quote)) if dice.random() < quoted else value)
        lines.append(delimiter.join(fields) + (trailing if dice.random() < 0.8 else ""))
    if dice.random() < odd / 2:
        lines.insert(dice.randint(0, len(lines)), dice.choice(("", " ", '""', "x", delimiter, 'a"b', '"a"b', '"')))
    if dice.random() < 0.1:
        lines.insert(0, dice.choice((f"sep={delimiter}", *_LINES)))
    text = line_end.join(lines) + dice.choice(("", line_end))
    wrap = dice.choice(_WRAPS) if dice.random() < 0.3 else bytes
    return bytes(dice.choice((0, dice.randrange(256))) for _ in range(SETTINGS_BYTES)) + wrap(text.encode())


def _decorated(value: str, dice: random.Random) -> str:
    before, after = dice.choice(_MARKS), dice.choice(_MARKS)
    if dice.random() < 0.3:
        at = dice.randint(0, len(value))
        return value[:at] + before + value[at:]
    return dice.choice((before + value, value + after, before + value + after))


# --- what a text is wrapped in


def _packed(text: bytes) -> bytes:
    return gzip.compress(text, 1, mtime=0)


def _in_two_members(text: bytes) -> bytes:
    half = len(text) // 2
    return _packed(text[:half]) + b"\0\0" + _packed(text[half:])


def _packed_twice(text: bytes) -> bytes:
    return _packed(_packed(text))


def _packed_thrice(text: bytes) -> bytes:
    return _packed(_packed_twice(text))


def _torn(text: bytes) -> bytes:
    return _packed(text)[:-5]


def _torn_within(text: bytes) -> bytes:
    return _packed(_torn(text))


def _utf16(encoding: str, mark: bytes) -> Callable[[bytes], bytes]:
    return lambda text: mark + text.decode("utf-8", "replace").encode(encoding)


def _with_mark(text: bytes) -> bytes:
    return codecs.BOM_UTF8 + text


def _windows(text: bytes) -> bytes:
    return text.decode("utf-8", "replace").encode("cp1252", "replace")


_LITTLE = _utf16("utf-16-le", codecs.BOM_UTF16_LE)
_BIG = _utf16("utf-16-be", codecs.BOM_UTF16_BE)
_LITTLE_WITHOUT_MARK = _utf16("utf-16-le", b"")
_BIG_WITHOUT_MARK = _utf16("utf-16-be", b"")
_UTF32 = _utf16("utf-32-le", b"")
_WRAPS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    bytes,
    _packed,
    _packed_twice,
    _packed_thrice,
    _in_two_members,
    _torn,
    _torn_within,
    _with_mark,
    _windows,
    _LITTLE,
    _BIG,
    _LITTLE_WITHOUT_MARK,
    _BIG_WITHOUT_MARK,
    _UTF32,
)


def _unwrapped(data: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """The text in UTF-8, as far as it is one, and what makes such a file of a text again."""
    if data[:2] == b"\x1f\x8b":
        try:
            text = zlib.decompressobj(wbits=31).decompress(data, 100_000)
            return (
                (zlib.decompressobj(wbits=31).decompress(text, 100_000), _packed_twice)
                if text[:2] == b"\x1f\x8b"
                else (text, _packed)
            )
        except zlib.error:
            return data, bytes
    for wrap, mark, encoding in ((_LITTLE, codecs.BOM_UTF16_LE, "utf-16-le"), (_BIG, codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith(mark):
            return data[2:].decode(encoding, "replace").encode("utf-8", "replace"), wrap
    return data, bytes


# --- changes of a text

_Change = Callable[[bytes, random.Random], bytes]


def _insert(text: bytes, dice: random.Random) -> bytes:
    at = dice.randint(0, len(text))
    return text[:at] + dice.choice(TOKENS) + text[at:]


def _cut(text: bytes, dice: random.Random) -> bytes:
    at = dice.randint(0, len(text))
    return text[:at] + text[at + dice.choice((1, 1, 2, 8, 64)) :]


def _of_lines(change: Callable[[list[bytes], random.Random], None]) -> _Change:
    def changed(text: bytes, dice: random.Random) -> bytes:
        lines = re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text) or [b""]
        change(lines, dice)
        return b"".join(lines)

    return changed


def _repeat_line(lines: list[bytes], dice: random.Random) -> None:
    lines.insert(dice.randint(0, len(lines)), dice.choice(lines))


def _drop_line(lines: list[bytes], dice: random.Random) -> None:
    del lines[dice.randrange(len(lines))]


def _other_line_ends(lines: list[bytes], dice: random.Random) -> None:
    end = dice.choice((b"\n", b"\r\n", b"\r"))
    for i in range(len(lines)) if dice.random() < 0.3 else [dice.randrange(len(lines))]:
        lines[i] = lines[i].rstrip(b"\r\n") + end


def _of_fields(change: Callable[[list[bytes], random.Random], None]) -> _Change:
    def changed_line(lines: list[bytes], dice: random.Random) -> None:
        at = dice.randrange(len(lines))
        delimiter = max((b",", b";", b"\t", b"|"), key=lines[0].count)
        line = lines[at].rstrip(b"\r\n")
        fields = line.split(delimiter)
        change(fields, dice)
        lines[at] = delimiter.join(fields) + lines[at][len(line) :]

    return _of_lines(changed_line)


def _other_value(fields: list[bytes], dice: random.Random) -> None:
    fields[dice.randrange(len(fields))] = dice.choice(TOKENS)


def _quoted_value(fields: list[bytes], dice: random.Random) -> None:
    at = dice.randrange(len(fields))
    value = fields[at].strip(b'"') + dice.choice((b"", b"", dice.choice(TOKENS)))
    fields[at] = b'"%s"' % value.replace(b'"', b'""')


def _swapped(fields: list[bytes], dice: random.Random) -> None:
    one, other = dice.randrange(len(fields)), dice.randrange(len(fields))
    fields[one], fields[other] = fields[other], fields[one]


def _one_more(fields: list[bytes], dice: random.Random) -> None:
    fields.insert(dice.randint(0, len(fields)), dice.choice(TOKENS))


def _one_column_more(lines: list[bytes], dice: random.Random) -> None:
    delimiter = max((b",", b";", b"\t", b"|"), key=lines[0].count)
    name = dice.choice(_NAMES).encode()
    for i, line in enumerate(lines):
        body = line.rstrip(b"\r\n")
        lines[i] = body + delimiter + (dice.choice(TOKENS) if i else name) + line[len(body) :]


def _trailing(lines: list[bytes], dice: random.Random) -> None:
    delimiter = max((b",", b";", b"\t", b"|"), key=lines[0].count)
    share = dice.choice((0.4, 0.5, 0.6, 1.0))
    for i, line in enumerate(lines[1:], 1):
        if dice.random() < share:
            body = line.rstrip(b"\r\n")
            lines[i] = body + delimiter + dice.choice((b"", b"", b" ", b'""', b"x")) + line[len(body) :]


def _backslashes(text: bytes, dice: random.Random) -> bytes:
    return text.replace(b'""', b'\\"') if dice.random() < 0.5 else re.sub(rb'(?<=[a-z0-9])"', rb'\\""', text)


def _first_line(lines: list[bytes], dice: random.Random) -> None:
    lines.insert(0, dice.choice(_LINES).encode() + dice.choice((b"\n", b"\r\n", b"\r")))


def _other_delimiter(text: bytes, dice: random.Random) -> bytes:
    old, new = dice.sample((b",", b";", b"\t", b"|"), 2)
    return text.replace(old, new)


_CHANGES: tuple[_Change | None, ...] = (
    None,
    None,
    _insert,
    _insert,
    _cut,
    _other_delimiter,
    _of_lines(_repeat_line),
    _of_lines(_drop_line),
    _of_lines(_other_line_ends),
    _of_lines(_one_column_more),
    _of_lines(_trailing),
    _of_lines(_first_line),
    _backslashes,
    _of_fields(_other_value),
    _of_fields(_other_value),
    _of_fields(_quoted_value),
    _of_fields(_swapped),
    _of_fields(_one_more),
)
