"""The inputs that the fuzzer found to reach something new, or to show a mistake, once more; and the fuzzer itself."""

from __future__ import annotations

import pytest

from sigma_impressions_tests.exports.fuzz import target
from sigma_impressions_tests.exports.fuzz.corpus import FILE, read_corpus
from sigma_impressions_tests.exports.fuzz.mutations import TOKENS, mutated
from sigma_impressions_tests.exports.fuzz.target import SETTINGS_BYTES, check, input_of
from sigma_impressions_tests.exports.reading import reference_of

FILE_OF_ONE_ROW = bytes(SETTINGS_BYTES) + b"time,user,workbook\n2026-11-19,a,b\n"


@pytest.mark.slow
@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in read_corpus().items()])
def test_kept_input(raw):
    check(raw)


def test_the_kept_inputs_are_not_many():
    assert len(read_corpus()) <= 400
    assert FILE.stat().st_size < 10**6


def test_a_mistake_of_the_reader_is_found(monkeypatch):
    right = target.read_or_refuse
    monkeypatch.setattr(target, "read_or_refuse", lambda data, rules: right(data.replace(b",a,", b",c,"), rules))
    with pytest.raises(AssertionError):
        check(FILE_OF_ONE_ROW)


def test_mutations_are_repeatable_and_never_too_long():
    raw = FILE_OF_ONE_ROW
    for seed in range(2000):
        changed = mutated(raw, 300, seed, lambda data, most: data[::-1][:most])
        assert changed == mutated(raw, 300, seed, lambda data, most: data[::-1][:most])
        assert len(changed) <= 300
        raw = changed if seed % 20 else FILE_OF_ONE_ROW


def test_mutations_use_every_token():
    found = set()
    for seed in range(20_000):
        changed = mutated(FILE_OF_ONE_ROW, 4096, seed, lambda data, most: data)
        found |= {token for token in TOKENS if token in changed}
    assert found == set(TOKENS)


def test_a_good_part_of_the_mutations_can_be_read():
    outcomes = []
    for seed in range(600):
        given = input_of(mutated(FILE_OF_ONE_ROW, 4096, seed, lambda data, most: data))
        expected = reference_of(given.data, given.rules)
        outcomes.append("refused" if isinstance(expected, str) else "accepted" if expected.accepted else "read")
    assert outcomes.count("accepted") > 150
    assert outcomes.count("refused") > 60


def test_any_settings_are_possible():
    for byte in range(256):
        assert input_of(bytes([byte] * SETTINGS_BYTES) + b"x").data
