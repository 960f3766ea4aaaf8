"""Addresses in texts: found in every form, as a whole, and nothing else with them."""

from __future__ import annotations

import re
from urllib.parse import quote

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigma_impressions.addresses import AT, Person, canonical_address, core_of, is_address
from sigma_impressions.users import HIDDEN_ADDRESS, Pseudonyms, person_of, without_address

ANN = Person("Ann@Example.com")
PSEUDONYMS = Pseudonyms("correct horse battery staple")

FORMS = {
    "as it is": "ann@example.com",
    "upper case": "ANN@EXAMPLE.COM",
    "percent-encoded": "ann%40example.com",
    "encoded twice": "ann%2540example.com",
    "encoded in full": "%61nn%40example%2Ecom",
    "full-width": "ann＠example.com",
    "small": "ann﹫example.com",
    "full-width, encoded": "ann%EF%BC%A0example.com",
    "quoted": '"ann"@example.com',
    "in single quotes": "'ann'@example.com",
    "quoted in a CSV file": '""ann""@example.com',
    "quoted and encoded": "%22ann%22%40example.com",
    "with an invisible character": "ann\u200b@example.com",
}
AROUND = (
    "{}",
    "Copy of {}'s report",
    "/My Documents/{}/Sub",
    "https://x.org/w?u={}&theme=1",
    "https://x.org/w%3Fu%3D{}%26theme",
    "{},{}",
    "<{}>",
    "mailto:{}.",
    "[{}]",
    "{}-old",
    "{}さんのレポート",
    "報告{}。",
)
OTHERS = (
    "jörgann@example.com",
    "joann@example.com",
    "jo.ann@example.com",
    "jo-ann@example.com",
    "jo+ann@example.com",
    "o'ann@example.com",
    "%6Aoann%40example.com",
    '"lee ann"@example.com',
    "ann@example.com.au",
    "ann@example.community",
    "ann@example.com-x.org",
    "ann@sub.example.com",
    "ann+x@example.com",
    "ann@xexample.com",
)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_address_is_found_in_every_form(form: str) -> None:
    assert ANN.is_named(form) == ('""' not in form)
    for around in AROUND:
        text = around.format(*[form] * 2)
        assert ANN.stand_in(pl.Series([text, None])).to_list() == [True, False], text
        assert ANN.replaced(text, lambda _: "#") == around.format("#", "#")
        assert "example" not in without_address(text)
        assert "ann" not in without_address(text).lower()
        assert without_address(without_address(text)) == without_address(text)


@pytest.mark.parametrize("other", OTHERS)
def test_another_address_is_left_alone(other: str) -> None:
    for around in AROUND:
        text = around.format(*[other] * 2)
        assert ANN.replaced(text, lambda _: "#") == text
        assert not ANN.stand_in(pl.Series([text])).any()
    assert not ANN.is_named(other)


PLAIN = st.text("abcdefgh0123456789", min_size=1, max_size=4)
ADDRESSES = st.builds("{}@{}.{}".format, PLAIN, PLAIN, st.sampled_from(["com", "org", "co.uk"]))


@given(ADDRESSES, ADDRESSES, st.sampled_from(AROUND))
def test_one_of_two_addresses_is_found(one: str, other: str, around: str) -> None:
    text = f"{around.format(one, one)} {around.format(other, other)}"
    found = Person(one).replaced(text, lambda _: "#")
    expected = around.format(*("#" if other == one else other,) * 2)
    assert found == f"{around.format('#', '#')} {expected}"


@given(st.text())
def test_texts_of_any_kind_have_places(text: str) -> None:
    person = Person(text)
    if canonical_address(text):
        assert person.is_named(text)
        assert person.are(pl.Series([text])).all()
    assert ANN.replaced(text, lambda _: "#") == text
    assert without_address(text) == text or re.search(AT, text)


@given(ADDRESSES)
def test_a_word_with_an_address_has_its_core(address: str) -> None:
    for word in (address, address.upper(), quote(address), f"user={address}&x=1", f'"{address}"'.strip('"')):
        assert core_of(word) == address
    assert core_of('"ann lee"@example.com') == canonical_address("'Ann Lee'@example.com") == "ann lee@example.com"


def test_what_is_an_address() -> None:
    assert all(map(is_address, ("ann@example.com", "a@b", "ann%40example.com", '"ann lee"@x.org', "ann＠example.com")))
    assert not any(map(is_address, ("", "e", "ann", "@", "ann@", "@example.com", " @ ", "user_0123")))


def test_an_address_within_a_longer_word_is_told_from_none() -> None:
    texts = pl.Series(["Copy_of_ann@example.com", "joann%40example.com", "ann@example.com", "ann@example.org", None])
    assert ANN.within(texts).to_list() == [True, True, True, False, False]
    assert ANN.stand_in(texts).to_list() == [False, False, True, False, False]
    assert ANN.stand_in(pl.Series(["ann@example。com", "ann@example｡com"])).all()
    assert not Person("ann").stand_in(pl.Series(["ann@example.com", "x@ann"])).any()


def test_a_user_who_is_no_address_is_found_as_a_word() -> None:
    ann = Person("annlee")
    assert ann.replaced("AnnLee's copy, for annlees and /annlee/", lambda _: "#") == "#'s copy, for annlees and /#/"
    assert ann.replaced("annleeさん, annlée", lambda _: "#") == "#さん, annlée"
    alone = Person("annlee", alone=True)
    assert alone.stand_in(pl.Series(["annlee", "annlee-2", "AnnLee "])).to_list() == [True, False, True]


def test_an_address_with_a_space_is_found_where_quotes_hold_it_together_or_nothing_else_stands() -> None:
    texts = pl.Series(["ann lee@x.org", 'for "ann lee"@x.org', "ann of lee@x.org", "for ann lee@x.org"])
    assert Person("Ann Lee@x.org").stand_in(texts).to_list() == [True, True, False, False]


def test_ids_with_an_address_get_pseudonyms_and_stay_as_many() -> None:
    ids = [*FORMS.values(), *OTHERS, *AROUND[3:5], "wb1", "Sales @ work", None]
    ids = [*ids, "https://x.org/ann@example.com/x"]
    found = PSEUDONYMS.in_ids(pl.Series(ids, dtype=pl.String))
    assert found.n_unique() == len(ids)
    assert found.to_list() == [PSEUDONYMS.in_ids(pl.Series([each], dtype=pl.String)).item() for each in ids]
    assert PSEUDONYMS.in_ids(found).to_list() == found.to_list()
    ann = PSEUDONYMS.of_one("ann@example.com")
    assert found[0] == ann
    assert all(name.startswith(f"{ann}-") for name in found[1 : len(FORMS)])
    assert found[-1] == f"https://x.org/{ann}/x"
    assert found[-4:-1].to_list() == ids[-4:-1]
    # Whoever has the key finds them again.
    person = person_of("ann@example.com", PSEUDONYMS)
    assert person.stand_in(found[: len(FORMS)]).all()
    assert not person.stand_in(found[len(FORMS) : len(FORMS) + len(OTHERS)]).any()


def test_what_is_hidden_stays_hidden() -> None:
    assert without_address("of ann@example.com, v2 @ work") == f"of {HIDDEN_ADDRESS}, v2 @ work"
    assert without_address("a…@example.com") == "a…@example.com"
