"""Small exports as people have them, whose values were read wrong once, and what resembles each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sigma_impressions.exports.reading.normalize import EVENT_TYPES_NAMED
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.users import Pseudonyms
from sigma_impressions_tests.exports.reading import DEFAULT_RULES, Read, read

FAULTS = Path(__file__).with_name("faults")
ID = "2opi6VLEne4BaPyj00US50"
LAST_MODIFIED = datetime(2026, 11, 26, 6, tzinfo=UTC)
PSEUDONYMS = Pseudonyms("a key that is long enough")


def rows_of(text: str, rules: ReadingRules = DEFAULT_RULES) -> Read:
    return read(text.encode(), rules, LAST_MODIFIED)


def fault(name: str, rules: ReadingRules = DEFAULT_RULES) -> Read:
    return read((FAULTS / name).read_bytes(), rules, LAST_MODIFIED)


def one(reference: str, header: str = "request_time\tuser_email\tworkbook_url_id") -> tuple[str, str | None]:
    """What an accepted row with this reference names."""
    got = rows_of(f"{header}\n2026-11-25\tann@example.com\t{reference}\n").accepted
    return got["workbook_url_id"].item(), got["element_id"].item()


def rejected_text(row: str, header: str = "request_time,user_email,workbook_url_id", **rules: object) -> str:
    return str(rows_of(f"{header}\n{row}\n", ReadingRules(**rules)).rejected["text"].item())  # type: ignore[arg-type]


# --- what stands for no value


@pytest.mark.parametrize(("name", "rows"), [("a", 20), ("nul", 3), ("two_backslashes", 3)])
def test_a_placeholder_is_no_event_id(name, rows):
    got = fault(f"02-event-id-placeholder/{name}.csv").accepted
    assert got["event_id"].to_list() == got["element_id"].to_list() == [None] * rows


@pytest.mark.parametrize(
    "word",
    [
        *("null", "NULL", "Null", "(null)", "(NULL)", "<null>", "None", "NONE", "nan", "NaN", "n/a", "N/A", "#N/A"),
        *(
            "undefined",
            "Undefined",
            "-",
            r"\N",
            r"\n",
            r"\\N",
            "\0",
            "\0\0\0\0\0\0\0\0\0\0\0\0",
            "''",
            '" "',
            "' null '",
        ),
    ],
)
def test_a_word_for_no_value_is_none_in_any_column(word):
    columns = ("request_time", "user_email", "workbook_url_id", "element_id", "count", "event_id", "event_status")
    good = ("2026-11-25", "ann@example.com", ID, "El1", "2", "e1", "success")
    reasons = ["missing_request_time", "missing_user_email", "missing_workbook_url_id"]
    for i, reason in enumerate([*reasons, None, None, None, None]):
        row = [f"\u3000{word} " if at == i else value for at, value in enumerate(good)]
        got = rows_of("\t".join(columns) + "\n" + "\t".join(row) + "\n" + "\t".join(good) + "\n")
        assert got.rejected["reason"].to_list() == ([reason] if reason else [])
        if reason is None and columns[i] in got.accepted.columns:
            assert got.accepted[columns[i]].to_list() == [1 if i == 4 else None, 2 if i == 4 else good[i]]


@pytest.mark.parametrize("word", ["nil", "none at all", "--", "nulls", "undefineds", "n.a.", "(none)", "\0x", "'", "0"])
def test_what_resembles_such_a_word_is_a_value(word):
    got = rows_of(f"time\tuser\tworkbook\telement_id\n2026-11-25\tann\t{ID}\t{word}\n").accepted
    assert got["element_id"].item() == word


# --- quotes around a value


def test_quotes_behind_a_space_go():
    got = fault("03-space-before-quote/a.csv")
    assert got.accepted["user_email"].to_list() == ["ann@example.com"]
    assert got.accepted["workbook_url_id"].to_list() == [ID]
    assert got.result.reasons == {"wrong_field_count": 1}


def test_a_quoted_robot_is_excluded():
    assert (
        fault("03-space-before-quote/excluded.csv", ReadingRules(excluded_users=("*@bots.example.com",))).result.skipped
        == 2
    )


def test_single_quotes_go():
    assert fault("03-space-before-quote/single.csv").accepted["workbook_url_id"].to_list() == [ID]


def test_the_pseudonym_of_a_quoted_user_is_that_of_the_user():
    rules = ReadingRules(pseudonyms=PSEUDONYMS)
    users = fault("03-space-before-quote/excluded.csv", rules).accepted["user_email"].to_list()
    assert users == [PSEUDONYMS.of_one("probe@bots.example.com")] * 2


def test_only_one_pair_of_quotes_goes_and_only_a_pair():
    users = ["''ann''", "'ann", "ann'", "\"'ann'\"", "'ann\"", "' ann '", "it's", "'"]
    got = rows_of("".join(["time\tuser\tworkbook\n", *(f" 2026-11-25\t {user}\t{ID}\n" for user in users)]))
    assert got.accepted["user_email"].to_list() == ["'ann'", "'ann", "ann'", "'ann'", "'ann\"", "ann", "it's", "'"]


def test_quotes_and_white_space_around_every_value_of_a_row():
    got = rows_of(
        f"time|user|workbook|count|element_id\n ' 2026-11-25 ' | \" ann \" |'\u3000{ID}\u2003'|'3.0'|'null'\n"
    ).accepted
    assert got.select("user_email", "workbook_url_id", "count", "element_id").row(0) == ("ann", ID, 3, None)


# --- references to workbooks


def test_embed_links_are_one_workbook_and_hold_no_address():
    got = fault("04-embed-url-address/a.csv", ReadingRules(pseudonyms=PSEUDONYMS)).accepted
    assert got["workbook_url_id"].unique().to_list() == ["QcWTFngW18VskMHuiDbeA"]
    assert "u0" not in str(got.rows())


@pytest.mark.parametrize(
    ("reference", "workbook", "element"),
    [
        (ID, ID, None),
        (ID[:21], ID[:21], None),
        ("d6c07b3f-e008-f636-0377-333740d8a2fd", "d6c07b3f-e008-f636-0377-333740d8a2fd", None),
        (f"Sales-Overview-{ID}", ID, None),
        (f"inode-{ID}", ID, None),
        ("Sales-Overview", "Sales-Overview", None),
        (f"{ID}?:email=ann%40example.com", ID, None),
        (f"{ID}#ann", ID, None),
        ("AbC?x=/workbook/Other", "AbC", None),
        (f"https://app.sigmacomputing.com/acme/workbook/Sales-{ID}?:displayNodeId=x", ID, None),
        (f"https://app.sigmacomputing.com/acme/workbook/Sales-Overview/{ID}/page/1", ID, None),
        (f"https://app.sigmacomputing.com/acme/workbook/Sales-{ID}/element/_MuH?x=1", ID, "_MuH"),
        (f"https://app.sigmacomputing.com/acme/workbook/Sales-{ID}/element/null", ID, None),
        (f"https://app.sigmacomputing.com/acme/workbook/Sales-{ID}/element/", ID, None),
        (f"https://app.sigmacomputing.com/acme/data-model/Orders-{ID}", ID, None),
        (f"https://app.sigmacomputing.com/embed/1-{ID}?:nonce=1", ID, None),
        (f"https://app.sigmacomputing.com/acme/{ID}?:jwt=abc", ID, None),
        (f"app.sigmacomputing.com/acme/Workbook/Sales-{ID}", ID, None),
        ("https://x/acme/workbook/d6c07b3f-e008-f636-0377-333740d8a2fd", "d6c07b3f-e008-f636-0377-333740d8a2fd", None),
        ("https://x/acme/workbook/Sales-AbC/page/1", "AbC", None),
        ("https://x/b/AbC", "AbC", None),
        ("https://x/b/AbC/b/DeF", "DeF", None),
        (f"https%3A%2F%2Fx%2Facme%2Fworkbook%2FSales-{ID}%3F:email=ann%40example.com", ID, None),
        (f"https%3a%2f%2fx%2fb%2fS-{ID}%2Felement%2FEl1%23ann", ID, "El1"),
        ("https://x/dashboard/AbC?ann", "https://x/dashboard/AbC", None),
        ("https://ann:secret@x/dashboard/AbC", "https://x/dashboard/AbC", None),
        ("https://ann@example.com:sec@ret@x/dashboard/AbC", "https://x/dashboard/AbC", None),
        ("ann:secret@x/dashboard/AbC", "x/dashboard/AbC", None),
        ("https%3A%2F%2Fann%3Asecret%40x%2Fdashboard%2FAbC", "https://x/dashboard/AbC", None),
        ("100%2D", "100%2D", None),
    ],
)
def test_what_a_reference_stands_for(reference, workbook, element):
    assert one(reference) == (workbook, element)


@pytest.mark.parametrize("reference", ["?", "#x", "?x=/workbook/a", "/workbook/a-", "/b/x-", "u:p@"])
def test_a_reference_of_which_nothing_is_left_is_missing(reference):
    got = rows_of(f"time\tuser\tworkbook\n2026-11-25\tann\t{reference}\n")
    assert got.result.reasons == {"missing_workbook_url_id": 1}


def test_the_element_of_a_row_goes_before_that_of_its_url():
    url = f"https://x/acme/workbook/{ID}/element/InUrl"
    got = rows_of(
        f"time,user,workbook,element_id\n2026-11-25,a,{url},Own\n2026-11-25,a,{url},N/A\n2026-11-25,a,{ID},\n"
    )
    assert got.accepted["element_id"].to_list() == ["Own", "InUrl", None]


@pytest.mark.slow
def test_a_column_of_many_references_gives_what_each_of_them_gives():
    references = [f"https://x/acme/workbook/W{i % 7}-{ID}/element/El{i % 11}?u={i}" for i in range(500)]
    references += [
        f"https://element/acme/{ID}",
        f"https://u:p@x/dashboard/{ID[:9]}/element/El1",
        "Sales-AbC",
        f"{ID}#a",
    ]
    lines = "".join(f"2026-11-25\tann\t{reference}\n" for reference in references)
    got = rows_of(f"time\tuser\tworkbook\n{lines}").accepted
    assert got.select("workbook_url_id", "element_id").rows() == [one(reference) for reference in references]


SECRETS = ("ann%40", "secret", "signature", "fragment")


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            f"soon,bob,https://x/b/{ID}?:email=ann%40example.com&:signature=1",
            f"soon,bob,https://x/b/{ID}?…",
        ),
        (f'soon,bob,"https://x/b/{ID}?a=1,secret ""x"" b"', f'soon,bob,"https://x/b/{ID}?…"'),
        (f"soon,bob,{ID}#fragment", f"soon,bob,{ID}#…"),
        (f"soon,bob,https://ann:secret@x/b/{ID}", f"soon,bob,https://…@x/b/{ID}"),
        (f"soon,bob,https%3A%2F%2Fx%2Fb%2F{ID}%3Fann%40x", f"soon,bob,https%3A%2F%2Fx%2Fb%2F{ID}%3F…"),
        ("soon,bob,https%3A%2F%2Fann%3Asecret%40x%2Fb%2F1", "soon,bob,…"),
        (f"https://x/b/{ID}?secret,now,2026-11-25,1", f"https://x/b/{ID}?…"),
        ("soon,bob,https%3A%2F%2Fann%3Asecret@x%2Fb%2F1", "soon,bob,…"),
        ('soon,bob,"https://ann:my; secret@x/b/1"', 'soon,bob,"https://…@x/b/1"'),
        ("soon,bob,ann:secret\u2028@x/b/1", "soon,bob,…@x/b/1"),
        ("https://ann:secret@x/b,now", "https://…@x/b,now"),
        ("https%3A%2F%2Fann%3Asecret%40x%2Fb,now", "https%3A%2F%2F…%40x%2Fb,now"),
        (f"2026-11-25,,{ID}", f"2026-11-25,,{ID}"),
        ("soon,why?,x", "soon,why?,x"),
    ],
)
def test_the_text_of_a_rejected_row_hides_what_a_reference_holds(row, text):
    assert rejected_text(row) == text
    assert not any(secret in rejected_text(row, pseudonyms=PSEUDONYMS) for secret in SECRETS)


def test_an_embed_link_in_a_column_that_is_not_read_is_hidden_too():
    header = "request_time,user_email,workbook_url_id,link"
    text = rejected_text(f"soon,bob,{ID},https://x/embed/1?:email=ann%40example.com", header)
    assert text == f"soon,bob,{ID},https://x/embed/1?…"


# --- times and counts


def test_a_day_whose_midnight_is_skipped_counts():
    rules = ReadingRules("America/Santiago", extra_aliases={"request_time": ("Day",)})
    got = fault("06-midnight-gap/2026-09-07-usage.csv", rules)
    assert (got.result.accepted, got.accepted["count"].sum()) == (9, 18)
    assert str(got.accepted["request_time"][3]) == "2026-09-06 04:00:00+00:00"


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Africa/Cairo", "2026-04-24"), ("Asia/Beirut", "2026-03-29"), ("America/Havana", "2026-03-08")],
)
def test_other_clocks_that_skip_midnight(zone, day):
    got = rows_of(f"time,user,workbook\n{day},a,b\n{day} 00:30,a,b\n{day} 01:00,a,b\n", ReadingRules(zone))
    assert got.accepted["row_number"].to_list() == [1, 3]
    assert got.accepted["request_time"].n_unique() == 1
    assert got.result.reasons == {"unparseable_request_time": 1}


@pytest.mark.parametrize(("name", "rows"), [("comma_fraction", 1), ("micros", 2)])
def test_times_that_can_be_read_safely_are(name, rows):
    assert fault(f"13-safely-readable-but-refused/{name}.csv").result.accepted == rows


def test_three_zeros_behind_a_point_are_no_count_in_a_file_with_semicolons():
    assert fault("13-safely-readable-but-refused/three_dot.csv").result.reasons == {"invalid_count": 2}


@pytest.mark.parametrize(
    ("delimiter", "count", "found"),
    [
        (";", "3.0", 3),
        (";", "3.00", 3),
        (",", "3.000", 3),
        ("\t", "3.000", 3),
        (";", "1,000", None),
        ("\t", "1 000", None),
    ],
)
def test_what_may_be_thousands(delimiter, count, found):
    header = delimiter.join(("time", "user", "workbook", "count"))
    got = rows_of(header + "\n" + delimiter.join(("2026-11-25", "a", "b", count)) + "\n")
    assert got.accepted["count"].to_list() == ([found] if found else [])
    assert got.result.reasons == ({} if found else {"invalid_count": 1})


# --- what is skipped, and what is counted


def test_other_events_are_skipped_whatever_else_is_in_them():
    text = (
        "time,user,workbook,event_type,event_status\n"
        ",,,export,success\nsoon,,,View Workbook,FAILED\n,,,,\n2026-11-25,a,b,VIEW WORKBOOK,\nshort\n"
    )
    got = rows_of(text, ReadingRules(event_types=("view*",)))
    assert (got.result.accepted, got.result.skipped, got.result.reasons) == (1, 3, {"wrong_field_count": 1})
    assert got.result.event_types == (("", 1, 0), ("VIEW WORKBOOK", 1, 1), ("View Workbook", 1, 0), ("export", 1, 0))


def test_excluded_users_are_skipped_last():
    rules = ReadingRules(excluded_users=("bot",))
    got = rows_of("time,user,workbook\nsoon,bot,b\n2026-11-25,bot,\n2026-11-25,bot,b\n", rules)
    assert got.result.reasons == {"unparseable_request_time": 1, "missing_workbook_url_id": 1}
    assert got.result.skipped == 1


@pytest.mark.parametrize("status", ["success", "Success", " SUCCESS ", "'success'", "-", "None"])
def test_these_are_successes(status):
    assert rows_of(f"time,user,workbook,event_status\n2026-11-25,a,b,{status}\n").result.accepted == 1


def test_an_absent_type_matches_what_the_empty_text_matches():
    text = "time,user,workbook,event_type\n2026-11-25,a,b,-\n"
    assert rows_of(text, ReadingRules(event_types=("*",))).result.accepted == 1
    assert rows_of(text, ReadingRules(event_types=("?*",))).result.skipped == 1


def test_rows_without_a_user_are_impressions_of_nobody_if_asked_for():
    text = "time,user,workbook\n2026-11-25,,b\n2026-11-25,NULL,b\n2026-11-25,,\n2026-11-25,bot,b\n"
    assert rows_of(text).result.reasons == {"missing_user_email": 3}
    rules = ReadingRules(anonymous_users=True, excluded_users=("*",), pseudonyms=PSEUDONYMS)
    got = rows_of(text, rules)
    assert got.accepted["user_email"].to_list() == [None, None]
    assert (got.result.skipped, got.result.reasons) == (1, {"missing_workbook_url_id": 1})


def test_rows_of_a_file_without_types_are_of_the_empty_type():
    assert rows_of("time,user,workbook\n2026-11-25,a,b\nsoon,a,b\nshort\n").result.event_types == (("", 2, 1),)
    assert rows_of("time,user,workbook\n").result.event_types == ()


def test_the_most_frequent_types_are_named():
    types = [f"t{i:03}" for i in range(EVENT_TYPES_NAMED + 5) for _ in range(2 if i < EVENT_TYPES_NAMED else 1)]
    got = rows_of("time,user,workbook,event_type\n" + "".join(f"2026-11-25,a,b,{kind}\n" for kind in types)).result
    assert len(got.event_types) == EVENT_TYPES_NAMED + 1
    assert got.event_types[0] == ("other", 5, 5)
    assert {rows for name, rows, _ in got.event_types if name != "other"} == {2}


def test_any_number_of_types_takes_bounded_memory(monkeypatch):
    monkeypatch.setattr("sigma_impressions.exports.reading.normalize._TYPES_KNOWN", 10)
    rows = "".join(f"2026-11-25,a,b,{'usual' if i % 2 else 'x' * 300 + str(i)}\n" for i in range(300))
    got = rows_of(f"time,user,workbook,event_type\n{rows}").result.event_types
    assert sum(rows for _, rows, _ in got) == 300
    assert max(len(name) for name, _, _ in got) <= 200
    assert ("usual", 150, 150) in got


def test_a_type_that_holds_an_address_is_not_stored_with_pseudonyms():
    text = "time,user,workbook,event_type\n2026-11-25,a,b,viewed by ann@example.com\n"
    got = rows_of(text, ReadingRules(pseudonyms=PSEUDONYMS)).result
    assert got.event_types == (("viewed by [address]", 1, 1),)


@pytest.mark.parametrize("rows", ["", "short\n"])
def test_a_file_without_a_complete_row_has_no_types(rows):
    got = rows_of(f"time,user,workbook,event_type,event_status\n{rows}", ReadingRules(event_types=("view*",))).result
    assert (got.accepted, got.skipped, got.event_types) == (0, 0, ())
