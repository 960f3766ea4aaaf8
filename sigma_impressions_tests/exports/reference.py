"""How a file is read once more, in plain and slow Python, one character and one row at a time: what tests compare with.

The rules: docs/sigma-export.md, "Columns", "Values" and "Files".
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

COLUMNS = {
    "request_time": "timestamp event_time event_timestamp viewed_at time",
    "user_email": "email actor_email viewer_email user",
    "workbook_url_id": "url_id workbook_id workbook_url workbook",
    "element_id": "node_id workbook_element_id",
    "count": "impressions impression_count views view_count",
    "event_id": "audit_log_id request_id",
    "event_status": "",
    "event_type": "event_name",
}
REQUIRED = ["request_time", "user_email", "workbook_url_id"]
# https://www.unicode.org/Public/UCD/latest/ucd/PropList.txt, property White_Space
WHITE_SPACE = "".join(
    map(
        chr,
        [*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000],
    )
)
FIELD_LIMIT = 2**20
COLUMN_LIMIT = 1000
NO_ALIASES: Mapping[str, tuple[str, ...]] = {}
FIRST_MOMENT = datetime(2010, 1, 1, tzinfo=UTC)


class Refused(Exception):
    """The file as a whole is refused; the argument is the reason."""


@dataclass
class Expected:
    """What a file gives: accepted rows as tuples in the order of the accepted columns."""

    accepted: list[tuple[object, ...]] = field(default_factory=list)
    rejected: list[tuple[int, str, str]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)


def read(
    data: bytes,
    last_modified: datetime,
    time_zone: str = "UTC",
    excluded: tuple[str, ...] = (),
    *,
    more_aliases: Mapping[str, tuple[str, ...]] = NO_ALIASES,
    event_types: tuple[str, ...] = (),
) -> Expected:
    text = without_blank_lines(decode(data))
    declared = re.match(' *"?sep=([,;\t|])"? *(?=[\r\n]|\\Z)', text, re.IGNORECASE)
    if declared:
        text = without_blank_lines(text[declared.end() :])
    if not text:
        raise Refused("no header line")
    if "\0" in header_line(text):
        raise Refused("not a CSV file")

    def delimiter_of(text: str) -> str:
        return declared[1] if declared else find_delimiter(text, more_aliases, bool(event_types))

    delimiter = delimiter_of(text)
    if '\\"' in text and is_malformed(text, delimiter):
        text = re.sub(r"\\.", lambda pair: '""' if pair[0] == '\\"' else pair[0], text, flags=re.DOTALL)
        delimiter = delimiter_of(text)
    records = split(text, delimiter)
    header, _ = next(records)
    at = find_columns(header, more_aliases, bool(event_types))
    rows = [(fields, raw) for fields, raw in records if len(fields) != 1 or raw.strip(WHITE_SPACE)]
    width = len(header)
    surplus = sum(len(fields) == width + 1 and not fields[-1].strip(WHITE_SPACE) for fields, _ in rows)
    if surplus > len(rows) / 2:
        width += 1
    expected = Expected()
    for number, (fields, raw) in enumerate(rows, 1):
        reason: str | None = "wrong_field_count"
        row: tuple[object, ...] | None = None
        if len(fields) == width:
            values = {column: absent(fields[i].strip(WHITE_SPACE)) for column, i in at.items()}
            reason, row = read_row(values, last_modified, time_zone, excluded)
        if reason:
            expected.rejected.append((number, reason, raw[:2000]))
        elif row:
            expected.accepted.append((number, *row))
        else:
            expected.skipped.append(number)
    return expected


def without_blank_lines(text: str) -> str:
    """The text from its first line on that holds more than white space."""
    start = 0
    for line in re.findall(r"[^\r\n]*(?:\r\n|\r|\n|\Z)", text):
        if line.strip(WHITE_SPACE):
            break
        start += len(line)
    return text[start:]


def decode(data: bytes) -> str:
    for _ in range(2):
        if data.startswith(b"\x1f\x8b"):
            data = decompress(data)
    if not data:
        raise Refused("empty file")
    if data.startswith((b"\x1f\x8b\x08", b"PK\3\4", b"PK\5\6", b"PK\7\x08", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0")):
        raise Refused("not a CSV file")
    behind = data[4:5]
    is_text = behind in (b"\t", b"\r", b"\n") or b" " <= behind <= b"~"
    if data.startswith((b"PAR1", b"PARE")) and not is_text:
        raise Refused("not a CSV file")
    if data[:3] == b"BZh" and data[3:4] in b"123456789" and data[4:].startswith((b"1AY&SY", b"\x17rE8P")):
        raise Refused("not a CSV file")
    zeros = [byte == 0 for byte in data[:4]]
    if data[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") or zeros in ([0, 1, 1, 1], [1, 1, 1, 0]):  # UTF-32
        raise Refused("not a CSV file")
    encoding = None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif data[:4].isascii() and zeros in ([0, 1, 0, 1], [1, 0, 1, 0]):
        encoding = "utf-16-be" if zeros[0] else "utf-16-le"
    if encoding:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            raise Refused("cannot be decoded") from None
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        valid = data.decode("utf-8", "ignore")
        return data.decode("cp1252" if valid.isascii() else "utf-8", "replace")


def decompress(data: bytes) -> bytes:
    """All gzip members, one after the other; zero bytes between and after them are padding."""
    out = b""
    while data:
        member = zlib.decompressobj(wbits=31)
        try:
            out += member.decompress(data)
        except zlib.error:
            raise Refused("cannot be decompressed") from None
        if not member.eof:
            raise Refused("cannot be decompressed")
        data = member.unused_data.lstrip(b"\0")
    return out


def header_line(text: str) -> str:
    """The first line; a line end between two quotes belongs to it, but not one behind a quote without a second."""
    quoted = False
    for i, character in enumerate(text[:FIELD_LIMIT]):
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "\r\n":
            return text[:i]
    return re.split("[\r\n]", text)[0] if quoted else text[:FIELD_LIMIT]


def find_delimiter(text: str, more_aliases: Mapping[str, tuple[str, ...]], needs_event_type: bool) -> str:
    line = re.sub('"[^"]*"', "", header_line(text))
    fitting = []
    for delimiter in ",;\t|":
        try:
            find_columns(next(split(text, delimiter))[0], more_aliases, needs_event_type)
            fitting.append(delimiter)
        except Refused:
            pass
    return max(fitting or ",;\t|", key=line.count)


def is_malformed(text: str, delimiter: str) -> bool:
    try:
        for _ in split(text, delimiter, limit=len(text)):
            pass
    except Refused:
        return True
    return False


def split(text: str, delimiter: str, limit: int = FIELD_LIMIT) -> Iterator[tuple[list[str], str]]:
    """The records as lists of fields, each with its raw text without the line end."""
    fields: list[str] = []
    value: list[str] = []
    state, begin, i = "start", 0, 0
    while i <= len(text):
        character = text[i : i + 1]
        if state == "quoted":
            if character == "":
                raise Refused("malformed quoting")
            if character != '"':
                value.append(character)
            elif text[i + 1 : i + 2] == '"':
                value.append('"')
                i += 1
            else:
                state = "closed"
                check_length(value, limit)
        elif character in (delimiter, "\r", "\n", ""):
            check_length(value, limit)
            fields.append("".join(value))
            value, state = [], "start"
            if character != delimiter:
                if character or begin < len(text):
                    yield fields, text[begin:i]
                if text[i : i + 2] == "\r\n":
                    i += 1
                fields, begin = [], i + 1
        elif state == "closed":
            raise Refused("malformed quoting")
        elif state == "start" and character == '"':
            state = "quoted"
        else:
            value.append(character)
            state = "plain"
        i += 1


def check_length(value: list[str], limit: int) -> None:
    if len(value) > limit:
        raise Refused("field too large")


def find_columns(
    header: list[str], more_aliases: Mapping[str, tuple[str, ...]], needs_event_type: bool = False
) -> dict[str, int]:
    if len(header) > COLUMN_LIMIT:
        raise Refused("too many columns")
    at = {}
    for column, aliases in COLUMNS.items():
        for name in (column, *more_aliases.get(column, ()), *aliases.split()):
            found = [i for i, cell in enumerate(header) if plain_name(cell) == plain_name(name)]
            if len(found) > 1:
                raise Refused("ambiguous header")
            if found:
                at[column] = found[0]
                break
        else:
            counts = [i for i, cell in enumerate(header) if is_count_of(cell)]
            if column == "count" and len(counts) == 1:
                at[column] = counts[0]
            if column in REQUIRED or (column == "event_type" and needs_event_type):
                raise Refused("missing required column")
    return at


def is_count_of(cell: str) -> bool:
    words = re.sub("[^a-z0-9]", " ", cell.casefold()).split()
    return words[:2] == ["count", "of"] and "distinct" not in words


def plain_name(cell: str) -> str:
    return re.sub("[^a-z0-9]", "", cell.casefold())


def absent(value: str) -> str | None:
    return None if value in ("", "\\N", "null", "NULL") else value


def read_row(
    values: dict[str, str | None], last_modified: datetime, time_zone: str, excluded: tuple[str, ...]
) -> tuple[str | None, tuple[object, ...] | None]:
    """(reason, None) for a rejected row, (None, values) for an accepted one, (None, None) for a skipped one."""
    time, email, workbook = values["request_time"], values["user_email"], values["workbook_url_id"]
    if time is None:
        return "missing_request_time", None
    try:
        moment = read_time(time, time_zone)
    except ValueError:
        return "unparseable_request_time", None
    if moment is None or not FIRST_MOMENT <= moment <= last_modified + timedelta(hours=24):
        return "request_time_out_of_range", None
    if email is None:
        return "missing_user_email", None
    workbook = workbook and reduce_url(workbook)
    if not workbook:
        return "missing_workbook_url_id", None
    count = values.get("count") or "1"
    if not re.fullmatch(r"[0-9]+(\.0+)?", count) or not 1 <= int(count.split(".")[0]) <= 10**9:
        return "invalid_count", None
    email = email.lower()
    if (values.get("event_status") or "success").lower() != "success" or any(matches(p, email) for p in excluded):
        return None, None
    row = (moment, moment.date(), email, workbook, values.get("element_id"), int(count.split(".")[0]))
    return None, (*row, values.get("event_id"))


def read_time(text: str, time_zone: str) -> datetime | None:
    """The moment in UTC; None if it is beyond the years a datetime has."""
    if re.fullmatch("[0-9]{10}", text):
        return datetime.fromtimestamp(int(text), UTC)
    if re.fullmatch("[0-9]{13}", text):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(text))
    date = re.match(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", text)
    if not date:
        raise ValueError(text)
    year, month, day = map(int, date.groups())
    local, rest = datetime(year, month, day), text[10:]
    zone = ""
    if rest:
        clock = re.fullmatch(
            r"[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?( ?Z| UTC| ?[+-][0-9]{2}(?::?[0-9]{2})?)?", rest
        )
        if not clock:
            raise ValueError(text)
        hour, minute, second, fraction, offset = clock.groups()
        local = local.replace(hour=int(hour), minute=int(minute), second=int(second))
        local = local.replace(microsecond=int((fraction or "").ljust(6, "0")[:6]))
        zone = (offset or "").strip()
    try:
        if zone in ("Z", "UTC"):
            return local.replace(tzinfo=UTC)
        if zone:
            digits = zone[1:].replace(":", "")
            offset_by = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
            return local.replace(tzinfo=timezone(-offset_by if zone[0] == "-" else offset_by)).astimezone(UTC)
        moment = local.replace(tzinfo=ZoneInfo(time_zone), fold=0).astimezone(UTC)
    except OverflowError:
        return None
    if moment.astimezone(ZoneInfo(time_zone)).replace(tzinfo=None) != local:
        raise ValueError("the clocks skip this time")
    return moment


def reduce_url(value: str) -> str:
    segments = re.split("[?#]", value)[0].split("/")
    for i in range(len(segments) - 1, 1, -1):
        if segments[i - 1] in ("workbook", "b") and segments[i]:
            return segments[i].split("-")[-1]
    return value


def matches(pattern: str, text: str) -> bool:
    """Whether a glob with `*` and `?` matches the whole text: the places in the pattern one may have come to."""

    def with_skipped_stars(places: set[int]) -> set[int]:
        skipped = {place + 1 for place in places if pattern[place : place + 1] == "*"}
        return places if skipped <= places else with_skipped_stars(places | skipped)

    places = with_skipped_stars({0})
    for character in text:
        stay = {place for place in places if pattern[place : place + 1] == "*"}
        go = {place + 1 for place in places if pattern[place : place + 1] in ("?", character)}
        places = with_skipped_stars(stay | go)
    return len(pattern) in places
