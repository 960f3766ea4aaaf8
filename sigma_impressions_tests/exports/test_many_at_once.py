"""What is found about many bytes or texts at once is what is found about each."""

from __future__ import annotations

from itertools import chain

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigma_impressions.exports.reading import structure
from sigma_impressions.exports.reading.buffers import bytes_among, value_bytes
from sigma_impressions.exports.reading.classify import parse_counts, to_lower_case
from sigma_impressions.exports.reading.structure import Records, find_records
from sigma_impressions.exports.reading.times import parse_times
from sigma_impressions_tests.exports.reading import read

TEXTS = st.lists(st.none() | st.text("aZé\0%" + "0123", max_size=30), max_size=40)
FIELDS = st.sampled_from(
    ["", "a", " a", "abcdefghij" * 5, '"x"', '"a,\nb"', '"""q"""', '"\r\n"', "b" * 63, '"open', 'a"']
)
ENDS = st.sampled_from(["\n", "\n", "\r\n", "\n\n"])
LINES = st.lists(st.tuples(st.lists(FIELDS, min_size=1, max_size=4).map(",".join), ENDS).map("".join), max_size=30)


@given(TEXTS, st.integers(0, 5))
def test_no_byte_of_a_text_is_overlooked(texts, start):
    columns = [pl.Series(texts, dtype=pl.String), pl.Series(texts[:7], dtype=pl.String)]
    for column in (columns[0], columns[0][start:], pl.concat(columns), pl.concat(columns).rechunk()):
        among = set(chain.from_iterable(map(np.unique, bytes_among(column))))
        assert set(np.unique(value_bytes(column))) - {0} <= among


@pytest.mark.parametrize("at", [0, 50, 999])
@pytest.mark.parametrize("user", ["Z", "aZ", "shorter@A.com", "a.rather.long.name@example.coM"])
def test_one_user_among_many_is_lowered(at, user):
    users = [f"user.{number}@example.com" for number in range(1_000)]
    users[at] = user
    assert to_lower_case(pl.Series(users))[at] == user.lower()


@given(LINES, st.booleans())
def test_records_are_found_in_blocks_of_any_size(lines, ends_here):
    text = "".join(lines).encode()
    whole = find_records(text, ",", ends_here=ends_here)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structure, "_BLOCK", 64)
        assert facts(find_records(text, ",", ends_here=ends_here)) == facts(whole)


def facts(records: Records | None) -> object:
    return records and (records.bounds.tolist(), records.delimiters.tolist(), records.quoted, records.padded)


@given(st.lists(st.from_regex("[0-9]{1,10}", fullmatch=True) | st.sampled_from(["-1", "1.0", "x", "٣"]), max_size=20))
def test_counts_are_those_of_each_text(texts):
    no = pl.Series([False])
    alone = [parse_counts(pl.Series([text, "+1"]), no)[0] for text in texts]  # the second is read by an expression
    assert parse_counts(pl.Series(texts, dtype=pl.String), no).to_list() == alone


MOMENTS = ("2026-11-19T08:00:00.123Z", "2026-11-20T23:59:59.999Z", "2024-02-29T00:00:00.000Z")
OTHERS = ("2026-02-29T08:00:00.123Z", "2026-11-19T24:00:00.123Z", "2026-11-19T08:00:00.12xZ", "2026-11-19")


@pytest.mark.parametrize("usual", MOMENTS)
@pytest.mark.parametrize("others", [(), *((other,) for other in MOMENTS + OTHERS), OTHERS])
def test_times_that_hardly_differ_are_those_of_each_text(others, usual):
    alone = {text: parse_times(pl.Series([text]), "UTC")[0] for text in {usual, *others}}
    for count in (1, 64, 127, 128, 129):
        texts = [usual] * count + [*others] + [usual] * count
        assert parse_times(pl.Series(texts), "UTC").to_list() == [alone[text] for text in texts]


@pytest.mark.parametrize(
    "beginning", ["2", "x\x01", "x\x9c", "\x1f\x8b", "BZh9", "\ufeff", '"\ufeff"', "(µ/ý", '\x04"M\x18']
)
def test_a_file_may_begin_with_what_something_else_begins_with(beginning):
    value = beginning if beginning.startswith('"') else beginning.replace('"', "")
    row = f"{value},2026-11-19T08:00:00Z,ann@example.com,2opi6VLEne4BaPyj00US50\n"
    data = f"event_id,request_time,user_email,workbook_url_id\n{row * 3}".encode()
    got = read(data)
    assert (got.result.rows, got.result.accepted) == (3, 3)
    assert got.accepted["event_id"].n_unique() == 1
