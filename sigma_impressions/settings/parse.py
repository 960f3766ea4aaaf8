"""How the text of a setting becomes its value; each raises `RefusedValue` with what to write instead."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable
from datetime import date, datetime

from sigma_impressions.destinations.warehouse.tables import TABLES, WAREHOUSES
from sigma_impressions.errors import RefusedValue
from sigma_impressions.insights.thresholds import ACTIVITY_DAYS
from sigma_impressions.paths import fault_of_prefix
from sigma_impressions.settings.uris import location, must_be_private
from sigma_impressions.upstream.regions import parse_base_url
from sigma_impressions.windows import MAX_DAYS_BACK

EVERY_MORNING = "0 6 * * *"
"""A cron expression: every day at 06:00 UTC."""

EVERY_MONDAY = "0 7 * * 1"
"""A cron expression: every Monday at 07:00 UTC."""

MIN_USERS_KEY_CHARACTERS = 16

RANDOM_USERS_KEY = (
    f"a random text of at least {MIN_USERS_KEY_CHARACTERS} characters, for example what openssl rand -hex 32 prints"
)
"""What to write as the key of the pseudonyms."""

_MIN_DIFFERENT_CHARACTERS = 8
"""Two of a hundred random keys of 16 hexadecimal digits have fewer, of longer ones practically none."""

MIN_KEEP_DETAIL_DAYS = 35
"""Sigma exports the events of 30 days: what is exported again is recognised by what is kept of them."""

SHOWN_CHARACTERS = 60
"""How much of a text a message repeats at most."""


def quoted(text: str) -> str:
    """A text as a message repeats it: in quotes, and not all of a long one."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…")


def one_of(*choices: str) -> Callable[[str], str]:
    """The rule of a setting that takes one of some words, in any case of letters."""

    def rule(text: str) -> str:
        if text.lower() not in choices:
            raise RefusedValue(f"must be {' or '.join(choices)}, not {quoted(text)}")
        return text.lower()

    return rule


def on_or_off(text: str) -> bool:
    """Whether something is switched on."""
    return one_of("on", "off")(text) == "on"


def whole_number(least: int, most: int, kind: str) -> Callable[[str], int]:
    """The rule of a setting that takes a whole number between two bounds, both included; `kind` says so in words."""

    def rule(text: str) -> int:
        if not re.fullmatch(r"0*[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise RefusedValue(f"must be a whole number of {kind}, not {quoted(text)}")
        return int(text)

    return rule


percent = whole_number(0, 100, "percent from 0 to 100, without a sign")
change = whole_number(1, 9_999, "percent from 1 to 9999, without a sign")
days = whole_number(1, 999, "days from 1 to 999")
active_days = whole_number(1, ACTIVITY_DAYS, f"days from 1 to {ACTIVITY_DAYS}")
users_count = whole_number(1, 999_999_999, "users, 1 or more")
gigabytes = whole_number(1, 999_999, "gigabytes, 1 or more")


def name(text: str) -> str:
    """A name of one line."""
    if not text.isprintable():
        raise RefusedValue("holds a control character. Write a name on one line")
    return text


def days_back(text: str) -> int:
    """File dates that a run scans, up to the hard cap."""
    if not re.fullmatch(rf"0*[1-{MAX_DAYS_BACK}]", text):
        raise RefusedValue(
            f"must be a whole number from 1 to {MAX_DAYS_BACK}, not {quoted(text)}. The maximum is "
            f"{MAX_DAYS_BACK}; older days are read with a backfill"
        )
    return int(text)


def key(text: str) -> str:
    """A secret of one line without spaces."""
    # In an HTTP header a line end makes the SDK raise an error that repeats the header, key included.
    if not text.isprintable() or any(c.isspace() for c in text):
        raise RefusedValue("holds white space or a control character. Paste it again, in one piece")
    return text


def region(text: str) -> str:
    """The name of an AWS region."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", text):
        raise RefusedValue("is not the name of a region. Write it as AWS does, for example eu-central-1")
    return text


def storage(text: str) -> str:
    """Where the tables are kept: a local folder, or a URI of S3 or Google Cloud Storage."""
    place = location(text, "where to keep the tables")
    if "://" in place:
        place = place.rstrip("/")
        if fault := fault_of_prefix(place.partition("://")[2].partition("/")[2]):
            raise RefusedValue(f"leads to a prefix that {fault}")
    return place


def local_directory(text: str) -> str:
    """The path of a local folder."""
    if "://" in text:
        raise RefusedValue("is not a local directory. Write a path, without ://")
    return text


def resources(text: str) -> str:
    """Where the file with the resources is: a path or a URI."""
    return location(text, "where the file with the resources is")


NONE = "none"
"""The word that stands where a file could be named, and none is wanted."""


def members(text: str) -> str:
    """Where the file with the members is: a path or a URI; or that none is read."""
    return NONE if text.lower() == NONE else location(text, "where the file with the members is")


def base_url(text: str) -> str:
    """The base URL of Sigma's REST API, which may be given by the name of the region."""
    try:
        return parse_base_url(text)
    except ValueError as error:
        raise RefusedValue(str(error)) from None


def datahub(text: str) -> str:
    """The URL of DataHub's metadata service, or a local file that ends in .json."""
    advice = "Write the URL of DataHub's metadata service, for example https://datahub.example.com:8080, or the path "
    advice += "of a local file that ends in .json"
    if "://" not in text and text.lower().endswith(".json"):
        return text
    if not text.isprintable():
        raise RefusedValue(f"holds a control character. {advice}")
    if re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", text) is None:
        raise RefusedValue(f"is neither a URL without credentials and query nor a file. {advice}")
    must_be_private(text, "e-mail addresses and the token")
    return text.rstrip("/")


def warehouse(text: str) -> str:
    """The name of one of dlt's destinations that can replace the rows of a day."""
    if text.lower() not in WAREHOUSES:
        files = (
            " There, a day that is restated would stand twice; sigma-impressions export tables writes files"
            if text.lower() == "filesystem"
            else ""
        )
        raise RefusedValue(f"must be one of {', '.join(WAREHOUSES)}, not {quoted(text)}.{files}")
    return text.lower()


def dataset(text: str) -> str:
    """A name that every database takes for a schema, without quotes, and that dlt leaves as it is."""
    if not re.fullmatch(r"(?=.{1,50}$)[a-z][a-z0-9]*(_[a-z0-9]+)*", text):
        raise RefusedValue(
            f"must be a name of small letters and digits that begins with a letter, with single underscores between "
            f"them, of 50 characters at most, not {quoted(text)}"
        )
    if text.endswith("_staging"):
        raise RefusedValue(
            f"must not end in _staging, as {quoted(text)} does: rows on their way to {text.removesuffix('_staging')} "
            "would be prepared there, and its tables emptied"
        )
    return text


def prometheus(text: str) -> str:
    """A local file that ends in .prom, which the textfile collector of node_exporter reads."""
    if "://" in text or not text.endswith(".prom"):
        raise RefusedValue(
            "is not a local file that ends in .prom, which alone the textfile collector reads. Write for example "
            "/var/lib/node_exporter/textfile_collector/sigma_impressions.prom"
        )
    return text


def warehouse_tables(text: str) -> tuple[str, ...]:
    """Names of tables that go to a warehouse."""
    names = [name for name in (part.strip().lower() for part in text.split(",")) if name]
    if unknown := [name for name in names if name not in TABLES]:
        raise RefusedValue(f"{quoted(unknown[0])} is none of the tables that go there, which are {', '.join(TABLES)}")
    return tuple(dict.fromkeys(names))


def time_zone(text: str) -> str:
    """An IANA time zone that polars knows too."""
    advice = "Write an IANA name, for example Europe/Berlin or UTC"
    import polars as pl  # here, as is every import of this module that takes long

    try:
        zoneinfo.ZoneInfo(text)
        # polars brings its own list, without the names that depend on the machine ("localtime").
        pl.Series([datetime(2026, 1, 1)]).dt.replace_time_zone(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, pl.exceptions.PolarsError):
        raise RefusedValue(f"there is no time zone {quoted(text)}. {advice}") from None
    return text


def excluded_users(text: str) -> tuple[str, ...]:
    """Addresses and patterns of addresses, in lower case."""
    users = tuple(user for user in (part.strip().lower() for part in text.split(",")) if user)
    for user in users:
        if re.search(r"[\[\]{}\\]", user):
            raise RefusedValue(
                f"{quoted(user)} is not an e-mail or a glob with * and ? only. Write, for example, "
                "*@bots.example.com; brackets, braces and backslashes have no meaning here"
            )
        if re.search(r"[\s;]", user) or not user.isprintable():
            raise RefusedValue(f"{quoted(user)} looks like more than one entry. Separate the entries with commas")
    return users


def event_types(text: str) -> tuple[str, ...]:
    """Names and globs of event types, in lower case."""
    return tuple(name for name in (part.strip().casefold() for part in text.split(",")) if name)


def file_date_pattern(text: str) -> str:
    """A regular expression with the groups of a date."""
    from sigma_impressions.exports.file_dates import KeyPattern

    problem = KeyPattern(text).problem()
    if problem is not None:
        raise RefusedValue(problem)
    return text


def header_aliases(text: str) -> dict[str, tuple[str, ...]]:
    """By column, the names of header cells that stand for it too."""
    from sigma_impressions.exports.reading.rules import ReadingRules

    aliases: dict[str, tuple[str, ...]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        column, sign, header = (part.strip() for part in entry.partition("="))
        if not (column and sign and header):
            raise RefusedValue(f"{quoted(entry)} is not a pair. Write column=header name, for example user_email=Login")
        aliases[column] = (*aliases.get(column, ()), header)
    try:
        ReadingRules(extra_aliases=aliases)
    except ValueError as error:
        raise RefusedValue(f"{error}. Write column=header name, for example user_email=Login") from None
    return aliases


def users_key(text: str) -> str:
    """The key of the pseudonyms."""
    if len(text) < MIN_USERS_KEY_CHARACTERS:
        raise RefusedValue(f"is too short. Write {RANDOM_USERS_KEY}, or leave it unset")
    if not text.isprintable():
        raise RefusedValue("holds a control character, perhaps a line end. Paste the key again, in one piece")
    if len(set(text)) < _MIN_DIFFERENT_CHARACTERS:
        raise RefusedValue(
            f"has fewer than {_MIN_DIFFERENT_CHARACTERS} different characters. Who guesses it can tell who every "
            f"pseudonym is: write {RANDOM_USERS_KEY}"
        )
    return text


def keep_detail_days(text: str) -> int:
    """Days for which single views are kept."""
    if not re.fullmatch(r"0*[1-9][0-9]{0,4}", text) or int(text) < MIN_KEEP_DETAIL_DAYS:
        raise RefusedValue(
            f"must be a whole number of days, {MIN_KEEP_DETAIL_DAYS} or more, not {quoted(text)}: Sigma exports the "
            "events of 30 days, and what is exported again can only be recognised while the first copy is kept. "
            "Leave it unset to keep single views for good"
        )
    return int(text)


def start_date(text: str) -> date:
    """A day of the calendar."""
    advice = "Write the first day as YYYY-MM-DD, for example 2026-01-01"
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise RefusedValue(f"{quoted(text)} is not an ISO date. {advice}")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RefusedValue(f"{quoted(text)} is not a day of the calendar. {advice}") from None


# Minute, hour, day of month, month, day of week: the smallest and the largest number of each.
_CRON_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_CRON_PART = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?")


def is_cron(text: str) -> bool:
    """Whether the text is a cron expression of five fields in numbers: `*`, lists, ranges and steps."""
    fields = text.split()
    if len(fields) != len(_CRON_FIELDS):
        return False
    for written, (least, most) in zip(fields, _CRON_FIELDS, strict=True):
        if not all(_is_cron_part(part, least, most) for part in written.split(",")):
            return False
    days, month = fields[2].split(","), fields[3]
    # The 30th of February never comes.
    return not (month in ("2", "02") and all(day in ("30", "31") for day in days))


def _is_cron_part(part: str, least: int, most: int) -> bool:
    match = _CRON_PART.fullmatch(part)
    if match is None:
        return False
    first, last, step = (int(number) if number else None for number in match.groups())
    bounds = [number for number in (first, last) if number is not None]
    return (
        all(least <= number <= most for number in bounds)
        and bounds == sorted(bounds)
        and (step is None or 1 <= step <= most)
        # A step needs something to step through.
        and (step is None or first is None or last is not None)
    )


def schedule(text: str) -> str:
    """A cron expression, in one form."""
    if not is_cron(text):
        raise RefusedValue(
            f"{quoted(text)} is not a cron expression. Write five fields in numbers, minute, hour, day of month, "
            f"month and day of week (0 is Sunday), for example {EVERY_MORNING} for every day at 06:00 UTC"
        )
    return " ".join(text.split())


def webhook(text: str) -> str:
    """The URL of a webhook."""
    # The text is a secret: whoever knows it can post.
    advice = "Paste the URL of the webhook, beginning with https://"
    if not text.isprintable() or any(c.isspace() for c in text):
        raise RefusedValue(f"holds white space or a control character. {advice}")
    if re.fullmatch(r"https?://[^/@?#]+(/[^@#]*)?", text, re.IGNORECASE) is None:
        raise RefusedValue(f"is not the URL of a webhook. {advice}")
    must_be_private(text, "the secret in it")
    return text


def link(text: str) -> str:
    """An address that people open in a browser."""
    # No other character may stand in one; so none ends the link that a chat or a page makes of it.
    if re.fullmatch(r"https?://[^/@?#]+([/?#].*)?", text) is None or re.fullmatch(_OF_ADDRESSES, text) is None:
        raise RefusedValue(
            "is not the address of a page. Write it as a browser shows it, beginning with https://, with no name or "
            "password in it"
        )
    return text


_OF_ADDRESSES = r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+"
"""The characters of addresses (RFC 3986)."""
