"""Made-up Sigma resources and export files that look like a real company's; pure, the same for the same seed."""

from __future__ import annotations

import gzip
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from sigma_impressions.demo.vocabulary import (
    COMPANY,
    COPIES,
    DEPARTMENTS,
    FIRST_NAMES,
    LAST_NAMES,
    MAIL_DOMAIN,
    PAGES,
)
from sigma_impressions.upstream.contract import SCHEMA

DEFAULT_SEED: Final = 7
PREFIX: Final = "sigma-audit/"

FILE_DATE_PATTERN: Final = r"^(?:.*/)?(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})T\d{2}-\d{2}-\d{2} [^/]*$"
"""Reads the file date from a key: all files are uploaded today, whatever day they were written for."""

COLUMNS: Final = (
    "Request Time",
    "Event Type",
    "Event Status",
    "User Email",
    "User Name",
    "Workbook URL ID",
    "Workbook Name",
    "Element ID",
    "Count",
    "Session ID",
)

EXPORT_TIME: Final = time(0, 30)
"""When Sigma exports, each day (UTC)."""

_COVERED = timedelta(days=2)
_MAX_DELAY = timedelta(hours=2)
_EVENTS_PER_WEEKDAY = 2000
_ELEMENT_VIEWS_PER_SESSION = 1.9
_WEEKDAYS = np.array([1.0, 1.08, 1.05, 1.0, 0.86, 0.17, 0.14])
_HOURS = np.array(
    [1, 1, 1, 1, 1, 2, 6, 20, 55, 90, 100, 95, 60, 75, 95, 90, 75, 55, 30, 18, 12, 8, 4, 2], dtype=np.float64
)
_OFFICES = np.array([-8, -5, 0, 1, 8])
"""The offices' hours from UTC; summer time is left out."""
_OFFICE_SIZES = np.array([0.25, 0.3, 0.15, 0.25, 0.05])

_SEATS = 400
_TEMPORARY_SEATS = 60
_DAYS_IN_SEAT = 180
_NEVER_OPENED_WORKBOOKS = 4
_NEVER_OPENED_ELEMENTS = 8
_RETIRED_WORKBOOKS = ("Old Sales Report", "Migration 2024", "Legacy KPI Board")
_RETIRED_ELEMENTS = 5

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ELEMENT_LETTERS = _LETTERS + "_-"

# Streams of random numbers that must not follow one another: a change in one leaves the others as they are.
_CATALOGUE, _PEOPLE, _EVENTS = range(3)

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]
_Texts = npt.NDArray[np.str_]


def resources(seed: int = DEFAULT_SEED) -> pl.DataFrame:
    """Return the workbooks and their elements, with the columns of `sigma_resources`."""
    return _catalogue(seed).resources


def export_files(day: date, seed: int = DEFAULT_SEED) -> list[tuple[str, bytes]]:
    """Return key and content of what Sigma exported on a file date: the events of the 48 hours before.

    Every event is in two consecutive exports, written identically, or only in the later one when it arrived late.
    """
    taken = datetime.combine(day, EXPORT_TIME, UTC)
    content = _csv(COLUMNS, _events_between(taken - _COVERED, taken, seed)["line"])
    key = f"{PREFIX}{taken:%Y-%m-%dT%H-%M-%S} Workbook usage.csv"
    if day.toordinal() % 5 == 0:
        # Without a time in the header: the content must be that of the day alone.
        return [(f"{key}.gz", gzip.compress(content, mtime=0))]
    return [(key, content)]


def refused_file(day: date, seed: int = DEFAULT_SEED) -> tuple[str, bytes]:
    """Return an export that someone made by hand on that day, without the column of the users' e-mails."""
    taken = datetime.combine(day, EXPORT_TIME, UTC)
    lines = _events_between(taken - timedelta(hours=6), taken, seed)["line"]
    kept = [column for column in COLUMNS if column not in ("User Email", "User Name")]
    frame = pl.read_csv(_csv(COLUMNS, lines), infer_schema=False, truncate_ragged_lines=True).select(kept)
    return f"{PREFIX}{taken:%Y-%m-%dT%H-%M-%S} Workbook usage (manual).csv", frame.write_csv().encode()


def export_period(last_day: date, days: int = 70, seed: int = DEFAULT_SEED) -> Iterator[tuple[str, bytes]]:
    """Yield key and content of everything in the bucket after that many days of exports, oldest first.

    Beside the daily exports there is one file that is refused, of the day before the last one, and one that is not
    an export.
    """
    yield f"{PREFIX}README.txt", b"Sigma writes its audit log here, every day at 00:30 UTC.\n"
    for age in reversed(range(days)):
        day = last_day - timedelta(days=age)
        yield from export_files(day, seed)
        if age == 1:
            yield refused_file(day, seed)


def last_export_day(now: datetime) -> date:
    """Return the newest day whose export exists at a moment: no event is in its future then."""
    taken = timedelta(hours=EXPORT_TIME.hour, minutes=EXPORT_TIME.minute)
    return (now.astimezone(UTC) - taken).date()


@dataclass(frozen=True, eq=False)
class _Catalogue:
    """What can be viewed and how popular it is: parallel arrays; elements are ordered by their workbook."""

    resources: pl.DataFrame
    url_ids: _Texts
    names: _Texts
    departments: _Ints
    workbook_weights: _Floats
    element_workbooks: _Ints
    element_ids: _Texts
    element_weights: _Floats
    retired_url_ids: _Texts
    retired_element_ids: _Texts


class _Element(NamedTuple):
    element_id: str
    name: str
    page: str


@dataclass(frozen=True, eq=False)
class _People:
    """Who has a seat, by seat: the department, the office's hours from UTC, and how much they view."""

    departments: _Ints
    utc_offsets: _Ints
    weights: _Floats
    names: _Ints


@lru_cache(maxsize=4)
def _catalogue(seed: int) -> _Catalogue:
    rng = np.random.default_rng((seed, _CATALOGUE))
    places = [
        (number, f"{COMPANY}/{department.name}/{folder}", name)
        for number, department in enumerate(DEPARTMENTS)
        for folder, names in department.workbooks.items()
        for name in names
    ]
    count = len(places)
    names = [name for _, _, name in places]
    url_ids = [_identifier(rng, _LETTERS, 22 if rng.random() < 0.85 else 21) for _ in places]
    # In random order, but what people try out and copy comes last.
    aside = np.array([folder.endswith("/Sandbox") or name in COPIES for _, folder, name in places])
    ranks = np.empty(count, dtype=np.int64)
    ranks[np.lexsort((rng.permutation(count), aside))] = np.arange(1, count + 1)
    weights = 1 / ranks**1.1
    # Copies are opened too; of the others the least popular ones are never.
    candidates = [int(index) for index in np.argsort(weights) if names[index] not in COPIES]
    unopened = set(candidates[:_NEVER_OPENED_WORKBOOKS])
    archived = set(candidates[_NEVER_OPENED_WORKBOOKS - 1 : _NEVER_OPENED_WORKBOOKS + 4])
    vanished = candidates[_NEVER_OPENED_WORKBOOKS + 6]

    rows: list[dict[str, object]] = []
    elements: list[tuple[int, str, float]] = []
    element_rows: list[dict[str, object]] = []
    sheets: dict[str, list[_Element]] = {}
    for index, (department, path, name) in enumerate(places):
        created = datetime(2024, 1, 8, 9, tzinfo=UTC) + timedelta(minutes=int(rng.integers(0, 700 * 1440)))
        slug = re.sub(r"[^0-9A-Za-z]+", "-", name).strip("-")
        workbook: dict[str, object] = {
            "resource_type": "sigma_workbook",
            "workbook_id": str(uuid.UUID(bytes=rng.bytes(16), version=4)),
            "workbook_url_id": url_ids[index],
            "element_id": None,
            "name": name,
            "workbook_name": name,
            "path": path,
            "url": f"https://app.sigmacomputing.com/{COMPANY.lower()}/workbook/{slug}-{url_ids[index]}",
            "owner_email": email_of(*_person(seed, int(rng.integers(0, _SEATS - _TEMPORARY_SEATS)))),
            "created_at": created,
            "updated_at": created + timedelta(minutes=int(rng.gamma(1.2, 40) * 1440)),
            "is_archived": index in archived,
            "is_deleted": index == vanished,
        }
        rows.append(workbook)
        sheet = sheets[name] = sheets.get(COPIES.get(name, "")) or _sheet(rng, department, index in unopened)
        popularity = 1 / (1 + rng.permutation(len(sheet))) ** 1.1
        for element, weight in zip(sheet, popularity, strict=True):
            elements.append((index, element.element_id, 0.0 if index in unopened else float(weight)))
            element_rows.append(
                workbook
                | {
                    "resource_type": "sigma_element",
                    "element_id": element.element_id,
                    "name": element.name,
                    "path": f"{path}/{name}",
                    "url": f"{workbook['url']}?:displayNodeId={element.element_id}",
                    "page_id": f"{url_ids[index][:9]}{list(PAGES).index(element.page)}",
                    "page_name": element.page,
                }
            )

    weights[list(unopened)] = 0
    element_weights = np.array([weight for _, _, weight in elements])
    quiet = int((element_weights == 0).sum())
    opened = np.flatnonzero(element_weights)
    least = opened[np.argsort(element_weights[opened])][: _NEVER_OPENED_ELEMENTS - quiet]
    element_weights[least] = 0
    return _Catalogue(
        resources=pl.DataFrame(rows + element_rows, schema=SCHEMA),
        url_ids=np.array(url_ids),
        names=np.array(names),
        departments=np.array([department for department, _, _ in places]),
        workbook_weights=weights,
        element_workbooks=np.array([index for index, _, _ in elements]),
        element_ids=np.array([element_id for _, element_id, _ in elements]),
        element_weights=element_weights,
        retired_url_ids=np.array([_identifier(rng, _LETTERS, 22) for _ in _RETIRED_WORKBOOKS]),
        retired_element_ids=np.array([_identifier(rng, _ELEMENT_LETTERS, 10) for _ in range(_RETIRED_ELEMENTS)]),
    )


def _sheet(rng: np.random.Generator, department: int, single: bool) -> list[_Element]:
    """Return the elements of one workbook."""
    count = 1 if single else int(np.clip(1 + rng.poisson(3.3), 1, 9))
    titles = [
        (template.format(measure=measure), page)
        for measure in DEPARTMENTS[department].measures
        for page, templates in PAGES.items()
        for template in templates
    ]
    chosen = rng.choice(len(titles), count, replace=False)
    return [_Element(_identifier(rng, _ELEMENT_LETTERS, 10), *titles[index]) for index in chosen]


def _identifier(rng: np.random.Generator, letters: str, length: int) -> str:
    return "".join(letters[index] for index in rng.integers(0, len(letters), length))


@lru_cache(maxsize=4)
def _people(seed: int) -> _People:
    rng = np.random.default_rng((seed, _PEOPLE))
    return _People(
        departments=rng.integers(0, len(DEPARTMENTS), _SEATS),
        utc_offsets=rng.choice(_OFFICES, _SEATS, p=_OFFICE_SIZES),
        weights=_shares(1 / (1 + rng.permutation(_SEATS)) ** 0.8),
        names=rng.permutation(len(FIRST_NAMES) * len(LAST_NAMES)),
    )


def _person(seed: int, number: int) -> tuple[str, str]:
    first, last = divmod(int(_people(seed).names[number]), len(LAST_NAMES))
    return FIRST_NAMES[first], LAST_NAMES[last]


def email_of(first: str, last: str) -> str:
    """The address that the company gives to a person."""
    return f"{first}.{last}@{MAIL_DOMAIN}".lower().replace("'", "")


@dataclass(frozen=True)
class Seat:
    """Who has a seat, and in which department it is."""

    first: str
    last: str
    department: str

    @property
    def email(self) -> str:
        """The address of who has the seat."""
        return email_of(self.first, self.last)


def seat_holders(day: date, seed: int = DEFAULT_SEED) -> list[Seat]:
    """Return who has each seat that day: people come and go in the last seats, each for half a year."""
    people = _people(seed)
    stable = _SEATS - _TEMPORARY_SEATS
    successors = len(people.names) - stable
    taken = []
    for seat in range(_SEATS):
        number = seat
        if seat >= stable:
            turn = (day.toordinal() + 37 * seat) // _DAYS_IN_SEAT
            number = stable + (seat - stable + turn * _TEMPORARY_SEATS) % successors
        taken.append(Seat(*_person(seed, number), DEPARTMENTS[people.departments[seat]].name))
    return taken


def _shares(weights: _Floats) -> _Floats:
    shares: _Floats = weights / weights.sum()
    return shares


def _pick(cumulative: _Floats, rng: np.random.Generator, low: _Floats, high: _Floats) -> _Ints:
    """Return for each stretch low…high of the cumulative weights the place that a random point of it is in."""
    points = low + rng.random(len(low)) * (high - low)
    # To the right of equal ones: a place without weight is never picked.
    return np.searchsorted(cumulative, points, side="right").astype(np.int64)


@lru_cache(maxsize=4)
def _events(day: date, seed: int) -> pl.DataFrame:
    """Return the events of one UTC day: when they happened, when they can be exported, and their CSV line."""
    rng = np.random.default_rng((seed, _EVENTS, day.toordinal()))
    catalogue, people = _catalogue(seed), _people(seed)
    expected = _EVENTS_PER_WEEKDAY * _WEEKDAYS[day.weekday()] / (1 + _ELEMENT_VIEWS_PER_SESSION)
    sessions = int(rng.poisson(expected))
    seats = rng.choice(_SEATS, sessions, p=people.weights)

    # People mostly open the workbooks of their own department.
    affinity = 1 + 7.0 * (people.departments[:, None] == catalogue.departments[None, :])
    reach = np.cumsum(affinity * catalogue.workbook_weights, axis=1)[seats]
    points = rng.random(sessions) * reach[:, -1]
    workbooks = (points[:, None] >= reach).sum(axis=1)

    hours = (rng.choice(24, sessions, p=_shares(_HOURS)) - people.utc_offsets[seats]) % 24
    # The last five minutes are left to the views that follow the opening, so that a session keeps to its day.
    opened = np.minimum((hours * 3600 + rng.random(sessions) * 3600) * 1000, 86_100_000).astype(np.int64)

    upto = np.cumsum(catalogue.element_weights)
    first = np.searchsorted(catalogue.element_workbooks, np.arange(len(catalogue.url_ids)), side="left")
    last = np.searchsorted(catalogue.element_workbooks, np.arange(len(catalogue.url_ids)), side="right") - 1
    low = upto[first] - catalogue.element_weights[first]
    high = upto[last]
    views = np.where((high > low)[workbooks], rng.poisson(_ELEMENT_VIEWS_PER_SESSION, sessions), 0)
    viewing = np.repeat(np.arange(sessions), views)
    elements = _pick(upto, rng, low[workbooks[viewing]], high[workbooks[viewing]])

    session = np.concatenate([np.arange(sessions), viewing])
    at = np.concatenate([opened, opened[viewing] + rng.integers(800, 290_000, len(viewing))])
    element_ids = np.concatenate([np.full(sessions, ""), catalogue.element_ids[elements]])
    total = len(session)
    url_ids, names = catalogue.url_ids[workbooks[session]], catalogue.names[workbooks[session]]

    # Workbooks that are gone from Sigma, and elements that are gone from theirs.
    retired = rng.integers(0, len(_RETIRED_WORKBOOKS), total)
    gone = rng.random(total) < 0.006
    url_ids = np.where(gone, catalogue.retired_url_ids[retired], url_ids)
    names = np.where(gone, np.array(_RETIRED_WORKBOOKS)[retired], names)
    unknown = (rng.random(total) < 0.008) & (element_ids != "")
    element_ids = np.where(unknown, rng.choice(catalogue.retired_element_ids, total), element_ids)

    # Most events can be exported within minutes, a few only after up to two hours.
    late = rng.random(total) < 0.04
    delay = np.where(late, rng.random(total) * _MAX_DELAY.total_seconds(), 20 + rng.random(total) * 280)
    counts = np.where(rng.random(total) < 0.02, rng.integers(2, 5, total), 1)
    defects = rng.choice(len(_DEFECTS) + 1, total, p=[1 - 0.0007 * len(_DEFECTS), *[0.0007] * len(_DEFECTS)])
    tokens = np.array([rng.bytes(8).hex() for _ in range(sessions)])
    taken = seat_holders(day, seed)
    emails = np.array([seat.email for seat in taken])
    full_names = np.array([f"{seat.first} {seat.last}" for seat in taken])

    midnight = datetime.combine(day, time(), UTC)
    return (
        pl.DataFrame(
            {
                "at": at,
                "delay": (delay * 1000).astype(np.int64),
                "defect": np.array(["", *_DEFECTS])[defects],
                "Event Type": np.where(element_ids == "", "workbook.view", "element.view"),
                "Event Status": np.where(rng.random(total) < 0.02, "failure", "success"),
                "User Email": emails[seats[session]],
                "User Name": full_names[seats[session]],
                "Workbook URL ID": url_ids,
                "Workbook Name": names,
                "Element ID": element_ids,
                "Count": counts.astype(np.str_),
                "Session ID": tokens[session],
            }
        )
        .with_columns(at=pl.lit(midnight).cast(pl.Datetime("ms", "UTC")) + pl.duration(milliseconds="at"))
        .with_columns(exportable_at=pl.col("at") + pl.duration(milliseconds="delay"))
        .select("at", "exportable_at", line=_line())
        .sort("at", "line")
    )


_DEFECTS: Final = (
    "time in another format",
    "no user",
    "count is no number",
    "field too many",
    "fields missing",
)


def _line() -> pl.Expr:
    """Return the CSV line of an event, spoilt where it has a defect."""
    defect = pl.col("defect")
    fields = {column: pl.col(column) for column in COLUMNS if column != "Request Time"}
    at = pl.col("at")
    written = (
        pl.when(defect == "time in another format")
        .then(at.dt.strftime("%m/%d/%Y %I:%M %p"))
        .otherwise(at.dt.strftime("%Y-%m-%d %H:%M:%S%.3f Z"))
    )
    fields["User Email"] = pl.when(defect != "no user").then("User Email").otherwise(pl.lit(""))
    fields["Count"] = pl.when(defect == "count is no number").then(pl.lit("n/a")).otherwise(pl.col("Count"))
    texts = {"Request Time": written} | fields
    quoted = [
        pl.when(text.str.contains(r'[",\r\n]'))
        .then(pl.concat_str(pl.lit('"'), text.str.replace_all('"', '""'), pl.lit('"')))
        .otherwise(text)
        for text in (texts[column] for column in COLUMNS)
    ]
    whole = pl.concat_str(quoted, separator=",")
    return (
        pl.when(defect == "field too many")
        .then(whole + pl.lit(",1"))
        .when(defect == "fields missing")
        .then(pl.concat_str(quoted[:-3], separator=","))
        .otherwise(whole)
    )


def _events_between(start: datetime, taken: datetime, seed: int) -> pl.DataFrame:
    """Return the events from a moment on that an export taken at another one can hold, oldest first."""
    days = (taken.date() - start.date()).days + 1
    events = pl.concat([_events(start.date() + timedelta(days=number), seed) for number in range(days)])
    return events.filter(pl.col("at") >= start, pl.col("exportable_at") <= taken)


def _csv(columns: tuple[str, ...], lines: pl.Series) -> bytes:
    return "\n".join([",".join(columns), *lines.to_list(), ""]).encode()
