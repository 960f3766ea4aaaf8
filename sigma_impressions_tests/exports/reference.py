"""How a file is read once more, in plain and slow Python, one character and one row at a time: what tests compare with.

The rules: docs/sigma-export.md, "Columns", "Values" and "Files".
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import unquote_to_bytes
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
TYPE_CHARACTERS = 200
NO_ALIASES: Mapping[str, tuple[str, ...]] = {}
FIRST_MOMENT = datetime(2010, 1, 1, tzinfo=UTC)
ABSENT = ["", r"\n", r"\\n", "null", "(null)", "<null>", "none", "nan", "n/a", "#n/a", "undefined", "-"]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DIGITS = frozenset("0123456789")
ID_CHARACTERS = DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Refused(Exception):
    """The file as a whole is refused; the argument is the reason."""


@dataclass
class Expected:
    """What a file gives: accepted rows as tuples in the order of the accepted columns.

    `event_types`: by type, the rows with the right number of fields, and how many of them were accepted.
    """

    accepted: list[tuple[object, ...]] = field(default_factory=list)
    rejected: list[tuple[int, str, str]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    event_types: dict[str, tuple[int, int]] = field(default_factory=dict)


def read(
    data: bytes,
    last_modified: datetime,
    time_zone: str = "UTC",
    excluded: tuple[str, ...] = (),
    *,
    more_aliases: Mapping[str, tuple[str, ...]] = NO_ALIASES,
    event_types: tuple[str, ...] = (),
    anonymous: bool = False,
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
        if "\0" in header_line(text):
            raise Refused("not a CSV file")
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
            values = {column: absent(fields[i]) for column, i in at.items()}
            if is_view(values, event_types):
                reason, row = read_row(
                    values, last_modified, time_zone, excluded, anonymous=anonymous, is_semicolon=delimiter == ";"
                )
            else:
                reason = None
            kind = (values.get("event_type") or "")[:TYPE_CHARACTERS]
            rows_of_kind, good = expected.event_types.get(kind, (0, 0))
            expected.event_types[kind] = (rows_of_kind + 1, good + (row is not None))
            shown = hide(raw, values["workbook_url_id"])
        else:
            shown = hide_all(raw)
        if reason:
            expected.rejected.append((number, reason, shown[:2000]))
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
    """The first line; a line end between two quotes belongs to it, but not one behind a quote without a second.

    No more of the text is looked at than a field may have.
    """
    beginning = text[:FIELD_LIMIT].encode()[:FIELD_LIMIT].decode("utf-8", "replace")
    quoted = False
    for i, character in enumerate(beginning):
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "\r\n":
            return beginning[:i]
    return re.split("[\r\n]", beginning)[0] if quoted else beginning


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


def absent(field: str) -> str | None:
    """The value of a field; None if it stands for none."""
    value = field.strip(WHITE_SPACE)
    for quote in "'\"":
        if len(value) > 1 and value[0] == quote and value[-1] == quote:
            value = value[1:-1].strip(WHITE_SPACE)
            break
    is_absent = value.lower() in ABSENT or set(value) == {"\0"}
    return None if is_absent else value


def is_view(values: dict[str, str | None], event_types: tuple[str, ...]) -> bool:
    """Whether a row is about a view that succeeded: what is not is skipped, whatever else is in it."""
    kind = (values.get("event_type") or "").casefold()
    if event_types and not any(matches(pattern, kind) for pattern in event_types):
        return False
    return (values.get("event_status") or "success").casefold() == "success"


def read_row(
    values: dict[str, str | None],
    last_modified: datetime,
    time_zone: str,
    excluded: tuple[str, ...],
    *,
    anonymous: bool,
    is_semicolon: bool,
) -> tuple[str | None, tuple[object, ...] | None]:
    """(reason, None) for a rejected view, (None, values) for an accepted one, (None, None) for a skipped one."""
    time, email = values["request_time"], values["user_email"]
    if time is None:
        return "missing_request_time", None
    try:
        moment = read_time(time, time_zone)
    except ValueError:
        return "unparseable_request_time", None
    if moment is None or not FIRST_MOMENT <= moment <= last_modified + timedelta(hours=24):
        return "request_time_out_of_range", None
    if email is None and not anonymous:
        return "missing_user_email", None
    workbook, element = reduce_url(values["workbook_url_id"] or "")
    if not workbook:
        return "missing_workbook_url_id", None
    whole, point, zeros = (values.get("count") or "1").partition(".")
    if not whole or not set(whole) <= DIGITS or not 1 <= int(whole) <= 10**9:
        return "invalid_count", None
    if point and (not zeros or set(zeros) != {"0"} or (is_semicolon and zeros == "000")):
        return "invalid_count", None
    if email is not None:
        email = email.lower()
        visible = "".join(character for character in email if unicodedata.category(character) != "Cf")
        if any(matches(pattern, visible) for pattern in excluded):
            return None, None
    row = (moment, moment.date(), email, workbook, values.get("element_id") or element, int(whole))
    return None, (*row, values.get("event_id"))


def read_time(text: str, time_zone: str) -> datetime | None:
    """The moment in UTC; None if it is beyond the years a datetime has."""
    whole, point, fraction = text.partition(".")
    if set(whole) <= DIGITS:
        if len(whole) in (13, 16, 19) and not point:
            whole, fraction = whole[:10], whole[10:]
        elif point and not (1 <= len(fraction) <= 9 and set(fraction) <= DIGITS):
            raise ValueError(text)
        if len(whole) != 10:
            raise ValueError(text)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(whole), microseconds=microseconds(fraction))
    zone: str | None = None
    if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return first_moment_of(datetime(*map(int, text.split("-"))), time_zone)
    if re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]", text):
        day = datetime(*map(int, text[:10].split("-")))
        clock = text[11:]
    else:
        words = text.split(" ", 4 if text[3:5] == ", " else 3)
        if len(words) > 3 and words[0].lower()[:-1] in DAYS and words[0][3:] == ",":
            del words[0]
        if len(words) != 4 or not re.fullmatch("[0-9]{1,2}", words[0]) or not re.fullmatch("[0-9]{4}", words[2]):
            raise ValueError(text)
        day = datetime(int(words[2]), MONTHS.index(words[1].lower()) + 1, int(words[0]))
        clock = words[3]
        if clock[5:6] != ":":
            raise ValueError("a mail's time has seconds")
    hour, minute, second, fraction, zone = split_clock(clock)
    local = day.replace(hour=hour, minute=minute, second=second, microsecond=microseconds(fraction))
    try:
        if zone is None:
            moment = local.replace(tzinfo=ZoneInfo(time_zone), fold=0).astimezone(UTC)
        else:
            return local.replace(tzinfo=zone_of(zone)).astimezone(UTC)
    except OverflowError:
        return None
    if moment.astimezone(ZoneInfo(time_zone)).replace(tzinfo=None) != local:
        raise ValueError("the clocks skip this time")
    return moment


def microseconds(fraction: str) -> int:
    """Those of a second's fraction; what is finer is cut off."""
    return int(fraction.ljust(6, "0")[:6])


def split_clock(text: str) -> tuple[int, int, int, str, str | None]:
    """Hour, minute, second, the digits of its fraction, and the zone if there is one."""
    parts = re.fullmatch("([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?(?: ?([^ 0-9:.,][^ ]*))?", text)
    if not parts:
        raise ValueError(text)
    return int(parts[1]), int(parts[2]), int(parts[3] or 0), parts[4] or "", parts[5]


def zone_of(text: str) -> timezone:
    if text.upper() in ("Z", "UTC", "GMT"):
        return UTC
    digits = re.fullmatch("[+-]([0-9]{2})(?::?([0-9]{2}))?", text)
    if not digits:
        raise ValueError(text)
    east = timedelta(hours=int(digits[1]), minutes=int(digits[2] or 0))
    return timezone(-east if text[0] == "-" else east)


def first_moment_of(day: datetime, time_zone: str) -> datetime | None:
    """The first moment of a day on the clocks of a zone; some skip midnight, or the whole day."""
    local = day
    while True:
        try:
            moment = local.replace(tzinfo=ZoneInfo(time_zone), fold=0).astimezone(UTC)
        except OverflowError:
            return None
        if moment.astimezone(ZoneInfo(time_zone)).replace(tzinfo=None) == local:
            return moment
        local += timedelta(minutes=1)


def is_uuid(text: str) -> bool:
    parts = text.split("-")
    are_hexadecimal = all(character in "0123456789abcdefABCDEF" for part in parts for character in part)
    return are_hexadecimal and [len(part) for part in parts] == [8, 4, 4, 4, 12]


def is_url_id(text: str) -> bool:
    return len(text) in (21, 22) and set(text) <= ID_CHARACTERS


def reduce_url(value: str) -> tuple[str, str | None]:
    """What a reference to a workbook stands for, and the element that it names."""
    if is_uuid(value):
        return value, None
    if "%2f" in value.lower():
        value = decode_percent(value)
    value = value[: min(value.find(mark) % (len(value) + 1) for mark in "?#")].strip(WHITE_SPACE)
    before, _, after = split_credentials(value)
    value = before + after
    if "/" not in value:
        last = value.split("-")[-1]
        return (last if is_url_id(last) and "-" in value else value), None
    path = value[value.index("://") + 3 :] if "://" in value else value
    segments = [segment for segment in path[path.find("/") % (len(path) + 1) :].split("/") if segment]
    element = None
    for i, segment in enumerate(segments):
        if segment == "element" and i + 1 < len(segments):
            element, segments = absent(segments[i + 1]), segments[:i]
            break
    for segment in segments[::-1]:
        if is_uuid(segment):
            return segment, element
        if is_url_id(segment.split("-")[-1]):
            return segment.split("-")[-1], element
    for i in range(len(segments) - 1, 0, -1):
        if segments[i - 1] in ("workbook", "b"):
            return segments[i].split("-")[-1], element
    return value, element


def decode_percent(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


def split_credentials(text: str) -> tuple[str, str, str]:
    """What comes before, `user:password@`, and what comes behind; either may hold an @."""
    scheme = re.match("(?:[A-Za-z][A-Za-z0-9+.-]*:)?//", text)
    start = scheme.end() if scheme else 0
    host = text[start:].partition("/")[0]
    at = host.rfind("@")
    if at < 0 or ":" not in host[:at]:
        return text, "", ""
    return text[:start], host[: at + 1], text[start + at + 1 :]


def hide(raw: str, reference: str | None) -> str:
    """The text of a row without what nobody may see of its reference, and of any other URL."""
    if reference and not is_uuid(reference):
        is_encoded = "%2f" in reference.lower()
        mark = re.search("[?#]|%3[fF]|%23" if is_encoded else "[?#]", reference)
        bare = reference[: mark.start()] if mark else reference
        secrets = []
        if mark and mark.end() < len(reference):
            secrets.append((reference[mark.start() :], mark[0] + "…"))
        _, credentials, _ = split_credentials((decode_percent(bare) if is_encoded else bare).strip(WHITE_SPACE))
        if credentials:
            secrets.append((bare, "…") if is_encoded else (credentials, "…@"))
        for secret, shown in secrets:
            raw = raw.replace(secret.replace('"', '""'), shown).replace(secret, shown)
    return re.sub("(://[^\\s,;|\"'?#]*[?#])[^\\s,;|\"']+", r"\1…", without_credentials(raw))


def hide_all(raw: str) -> str:
    """The text of a row of which nobody knows what is the reference: what might be behind it is left out."""
    mark = re.search("[?#]|%3[fF]|%23" if "%2f" in raw.lower() else "[?#]", raw)
    if mark and mark.end() < len(raw):
        raw = raw[: mark.end()] + "…"
    return without_credentials(raw)


def without_credentials(raw: str) -> str:
    raw = re.sub("[^\\s/,;|\"']*:[^\\s/,;|\"']*@", "…@", raw)
    return re.sub("(%2[fF]%2[fF])(?:(?!%2[fF])[^\\s/,;|\"'])*%40", r"\1…%40", raw)


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
