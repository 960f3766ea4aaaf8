"""Discovery over HTTP: which rows come of an organization, whatever the network does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.demo.fake_sigma import Behaviour, FakeSigma, Organization
from sigma_impressions.demo.generate import resources
from sigma_impressions.errors import SigmaRefused, SigmaUnavailable
from sigma_impressions.upstream.contract import ALIASES, conform
from sigma_impressions.upstream.discovery import Discovered, discover_resources, list_workbooks
from sigma_impressions_tests.upstream.organizations import large_organization, tag
from sigma_impressions_tests.upstream.sigma import HURRIED, credentials


@pytest.fixture
def server() -> Iterator[FakeSigma]:
    with FakeSigma(Organization.of_resources(resources())) as running:
        yield running


def discover(server: FakeSigma, backoff: Backoff = HURRIED) -> Discovered:
    return discover_resources(credentials(server), lambda _line: None, backoff=backoff)


def with_pages() -> pl.DataFrame:
    """The demo's resources that Sigma has."""
    return conform(resources().filter(~pl.col("is_deleted")), "the demo")


def present() -> pl.DataFrame:
    """The same as the lists of elements have them, which do not say their page."""
    nowhere = pl.lit(None, pl.String)
    return with_pages().with_columns(page_id=nowhere, page_name=nowhere)


def test_every_workbook_and_element_is_a_row(server: FakeSigma) -> None:
    found = discover(server)
    assert_frame_equal(found.resources, present())
    assert (found.unread, found.notes, found.aliases.height) == ((), (), 0)
    # A token, the workbooks, the data models, the members, and one request for each workbook.
    assert found.traffic.requests == 4 + len(server.organization.workbooks)


@pytest.mark.slow
def test_faults_and_short_tokens_change_nothing() -> None:
    organization = large_organization(150, 1500)
    with FakeSigma(organization) as server:
        expected = discover(server)
        server.behaviour = Behaviour(fault_rate=0.05, token_seconds=0.3, latency=0.01)
        found = discover(server)
        assert server.answers[500] and server.answers[429] and server.answers[0]
    assert_frame_equal(found.resources, expected.resources)
    assert found.resources.height == 150 + 1500
    assert found.unread == ()
    assert found.traffic.tokens > 1
    assert found.traffic.retries > 0


def test_a_large_organization_is_the_same_every_time() -> None:
    assert large_organization(20, 200) == large_organization(20, 200)
    assert large_organization(20, 200, seed=1) != large_organization(20, 200)


def test_the_same_element_id_in_two_workbooks_is_two_elements(server: FakeSigma) -> None:
    first, second = (entry["workbookId"] for entry in server.organization.workbooks[:2])
    server.organization.elements[first] = server.organization.elements[second] = [{"elementId": "same", "name": "x"}]
    found = discover(server).resources.filter(element_id="same")
    assert found["workbook_id"].sort().to_list() == sorted([first, second])


def test_without_the_rights_of_an_administrator_the_rest_is_read(server: FakeSigma) -> None:
    server.behaviour.is_administrator = False
    found = discover(server)
    assert_frame_equal(found.resources.drop("owner_email"), present().drop("owner_email"))
    assert found.resources["owner_email"].null_count() == found.resources.height
    assert [note.split(":")[0] for note in found.notes] == [
        "The owner of the client credentials is no administrator",
        "The owner of the client credentials may not list members",
    ]


def with_data_models() -> pl.DataFrame:
    """The demo's resources as they would be if two of its workbooks were data models."""
    workbooks = present().filter(resource_type="sigma_workbook")["workbook_url_id"].head(2)
    is_one = (pl.col("resource_type") == "sigma_workbook") & pl.col("workbook_url_id").is_in(workbooks.implode())
    kind = pl.when(is_one).then(pl.lit("sigma_data_model")).otherwise("resource_type")
    return conform(present().with_columns(resource_type=kind), "the demo")


@pytest.fixture
def with_models() -> Iterator[FakeSigma]:
    with FakeSigma(Organization.of_resources(with_data_models())) as running:
        yield running


def test_every_data_model_and_its_elements_are_rows(with_models: FakeSigma) -> None:
    lines: list[str] = []
    found = discover_resources(credentials(with_models), lines.append)
    assert_frame_equal(found.resources, with_data_models())
    assert (found.unread, found.notes) == ((), ())
    assert lines[0] == f"{with_models.url}: 59 workbooks and 2 data models listed, reading their elements"


def test_an_administrators_list_of_data_models_is_asked_for_first(with_models: FakeSigma) -> None:
    discover(with_models)
    with_models.behaviour.is_administrator = False
    found = discover(with_models)
    assert [path for path in with_models.paths if "dataModels?" in path] == [
        "/v2/dataModels?skipPermissionCheck=true&limit=1000",
        "/v2/dataModels?skipPermissionCheck=true&limit=1000",
        "/v2/dataModels?limit=1000",
    ]
    assert found.resources.filter(resource_type="sigma_data_model").height == 2
    # It is said once, of workbooks and data models.
    assert len(found.notes) == 2


@pytest.mark.parametrize("status", [403, 404])
def test_without_data_models_the_rest_is_read(with_models: FakeSigma, status: int) -> None:
    with_models.behaviour.refused["dataModels"] = status
    found = discover(with_models)
    models = with_data_models().filter(resource_type="sigma_data_model").select("workbook_url_id")
    assert_frame_equal(found.resources, with_data_models().join(models, on="workbook_url_id", how="anti"))
    (note,) = found.notes
    assert note.startswith("Data models cannot be listed: they stay as they were last known")
    assert found.unlisted == ("sigma_data_model",)
    assert f"HTTP {status}" in note


def test_a_data_model_that_cannot_be_read_is_reported(with_models: FakeSigma) -> None:
    hidden = with_models.organization.data_models[1]
    with_models.behaviour.forbidden.add(hidden["dataModelId"])
    (unread,) = discover(with_models).unread
    assert unread.workbook_url_id == hidden["dataModelUrlId"]
    assert f"/v2/dataModels/{hidden['dataModelId']}/elements: HTTP 403" in unread.reason


def test_a_data_model_without_a_url_id_is_left_out(with_models: FakeSigma) -> None:
    left_out = with_models.organization.data_models[0]
    url_id, left_out["dataModelUrlId"] = left_out["dataModelUrlId"], " "
    found = discover(with_models)
    assert_frame_equal(found.resources, with_data_models().filter(pl.col("workbook_url_id") != url_id))
    assert found.notes == ("1 data models have no dataModelUrlId, which views would name them by: they are left out.",)


def test_the_quick_list_has_the_data_models_too(with_models: FakeSigma) -> None:
    listed, elements = list_workbooks(credentials(with_models))
    assert listed["resource_type"].value_counts().sort("count").rows() == [
        ("sigma_data_model", 2),
        ("sigma_workbook", 59),
    ]
    assert elements > 0


def discover_pages(server: FakeSigma, report: Callable[[str], None] = lambda _line: None) -> Discovered:
    return discover_resources(credentials(server), report, backoff=HURRIED, pages=True)


def test_pages_are_asked_for_only_if_they_are_wanted(server: FakeSigma) -> None:
    assert_frame_equal(discover(server).resources, present())
    assert not [path for path in server.paths if "/pages" in path]


def test_every_element_is_on_its_page_and_the_cost_is_told(server: FakeSigma) -> None:
    lines: list[str] = []
    found = discover_pages(server, lines.append)
    assert_frame_equal(found.resources, with_pages())
    assert (found.unread, found.notes) == ((), ())
    organization = server.organization
    with_elements = [
        entry["workbookId"] for entry in organization.workbooks if entry["workbookId"] in organization.elements
    ]
    cost = sum(1 + len(organization.pages_of(workbook_id)) for workbook_id in with_elements)
    assert found.traffic.requests == 4 + len(organization.workbooks) + cost
    elements = found.resources.filter(resource_type="sigma_element").height
    assert lines[-1] == f"61 of 61 workbooks read, {elements} elements, {cost} requests for their pages"


def test_pages_that_the_elements_name_cost_nothing(server: FakeSigma) -> None:
    server.behaviour.elements_name_pages = True
    assert_frame_equal(discover(server).resources, with_pages())
    assert_frame_equal(discover_pages(server).resources, with_pages())
    assert not [path for path in server.paths if "/pages" in path]


def test_an_element_on_two_pages_is_on_the_first(server: FakeSigma) -> None:
    first, second, *_ = next(pages for pages in server.organization.pages.values() if len(pages) > 1)
    second.element_ids.append(first.element_ids[0])
    assert_frame_equal(discover_pages(server).resources, with_pages())


def test_pages_that_cannot_be_read_leave_the_elements_without(server: FakeSigma) -> None:
    hidden = server.organization.workbooks[4]
    server.behaviour.forbidden.add(f"{hidden['workbookId']}/pages")
    found = discover_pages(server)
    is_hidden = pl.col("workbook_id") == hidden["workbookId"]
    expected = with_pages().with_columns(
        pl.when(~is_hidden).then(name).alias(name) for name in ("page_id", "page_name")
    )
    assert_frame_equal(found.resources, expected)
    assert found.unread == ()
    (note,) = found.notes
    assert note.startswith("The pages of 1 workbooks could not be read")
    assert f"/v2/workbooks/{hidden['workbookId']}/pages: HTTP 403" in note


def test_data_models_have_no_pages(with_models: FakeSigma) -> None:
    discover_pages(with_models)
    assert not [path for path in with_models.paths if "/pages" in path and "dataModels" in path]


def test_a_workbook_that_cannot_be_read_is_reported(server: FakeSigma) -> None:
    hidden = server.organization.workbooks[3]
    server.behaviour.forbidden.add(hidden["workbookId"])
    found = discover(server)
    (unread,) = found.unread
    assert unread.workbook_url_id == hidden["workbookUrlId"]
    assert f"/v2/workbooks/{hidden['workbookId']}/elements: HTTP 403" in unread.reason
    of_hidden = found.resources.filter(workbook_url_id=hidden["workbookUrlId"])
    assert of_hidden["resource_type"].to_list() == ["sigma_workbook"]


def test_an_outage_ends_the_discovery(server: FakeSigma) -> None:
    server.behaviour.fault_rate = 1.0
    with pytest.raises(SigmaUnavailable, match="after 2 attempts"):
        discover(server, Backoff(attempts=2, first=0.001))


def test_wrong_credentials_end_the_discovery(server: FakeSigma) -> None:
    where = credentials(server)
    server.client_secret = "changed"
    with pytest.raises(SigmaRefused, match="does not accept"):
        discover_resources(where, lambda _line: None)


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "only by ID"])
def test_a_tagged_version_leads_to_its_source(server: FakeSigma, listed: bool) -> None:
    source = server.organization.workbooks[5]
    version = tag(server.organization, source["workbookUrlId"], "Production", listed=listed)
    found = discover(server)
    assert_frame_equal(found.resources, present())
    assert found.aliases.schema == pl.Schema(ALIASES)
    assert sorted(found.aliases.rows()) == sorted(
        (name, source["workbookUrlId"], "Production") for name in (version["workbookId"], version["workbookUrlId"])
    )


def test_a_version_that_cannot_be_opened_still_leads_by_its_id(server: FakeSigma) -> None:
    source = server.organization.workbooks[5]
    version = tag(server.organization, source["workbookUrlId"], "Old", listed=False)
    server.organization.hidden.clear()
    assert discover(server).aliases.rows() == [(version["workbookId"], source["workbookUrlId"], "Old")]


def test_a_version_of_a_version_leads_to_the_first_source(server: FakeSigma) -> None:
    source = server.organization.workbooks[5]
    first = tag(server.organization, source["workbookUrlId"], "Test", listed=True)
    second = tag(server.organization, first["workbookUrlId"], "Production", listed=True)
    aliases = dict(discover(server).aliases.select("alias_id", "workbook_url_id").rows())
    assert aliases.keys() == {entry[name] for entry in (first, second) for name in ("workbookId", "workbookUrlId")}
    assert set(aliases.values()) == {source["workbookUrlId"]}


def test_the_quick_list_reads_workbooks_and_the_elements_of_one(server: FakeSigma) -> None:
    workbooks, elements = list_workbooks(credentials(server))
    assert workbooks.height == len(server.organization.workbooks)
    assert elements == len(server.organization.elements[server.organization.workbooks[0]["workbookId"]])
    assert sum(path.endswith("/elements?limit=1000") for path in server.paths) == 1


def test_an_organization_without_workbooks_is_empty() -> None:
    with FakeSigma(Organization()) as server:
        found = discover(server)
        assert found.resources.is_empty()
        assert list_workbooks(credentials(server))[1] == 0


def test_progress_is_told(server: FakeSigma, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sigma_impressions.upstream.reading._SECONDS_BETWEEN_REPORTS", 0.0)
    lines: list[str] = []
    discover_resources(credentials(server), lines.append)
    assert lines[0] == f"{server.url}: 61 workbooks listed, reading their elements"
    assert lines[-1].startswith("61 of 61 workbooks read, ")
