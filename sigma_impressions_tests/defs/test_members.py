"""The asset sigma_members: there if there is a source, and never in the way of the numbers."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from sigma_impressions.check.members import check_members
from sigma_impressions.defs.build import build_definitions
from sigma_impressions.defs.members import build_member_assets
from sigma_impressions.defs.names import Names
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.demo.fake_sigma import FakeSigma, Organization
from sigma_impressions.lake.tables import Tables
from sigma_impressions.settings.read import environment_values, read_settings
from sigma_impressions.upkeep.edit_users import forget_stored
from sigma_impressions.upstream.members_stored import members_as_of
from sigma_impressions_tests.upstream.organizations import large_organization

pytestmark = pytest.mark.slow

BUCKET = {"SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/exports"}
API = {
    "SIGMA_CLIENT_ID": "id",
    "SIGMA_CLIENT_SECRET": "secret",
    "SIGMA_BASE_URL": "https://aws-api.sigmacomputing.com",
}
FILE = {"SIGMA_IMPRESSIONS_MEMBERS": "members.csv"}
OFF = {"SIGMA_IMPRESSIONS_MEMBERS": "None"}


@pytest.mark.parametrize(("environment", "is_there"), [({}, False), (API, True), (FILE, True), (API | OFF, False)])
def test_the_asset_is_there_if_there_is_a_source(environment: dict[str, str], is_there: bool) -> None:
    names = Names(("emea",))
    graph = build_definitions(environ=environment, names=names).resolve_asset_graph()
    members = names.key("sigma_members")
    assert (members in graph.get_all_asset_keys()) is is_there
    assert (members in graph.get(names.key("sigma_impressions_database")).parent_keys) is is_there
    assert members not in graph.get(names.key("resource_impressions")).parent_keys


class Source:
    """A pipeline whose members are in a file, or in a Sigma organization."""

    def __init__(
        self,
        folder: Path,
        instance: dg.DagsterInstance,
        monkeypatch: pytest.MonkeyPatch,
        environment: dict[str, str],
    ) -> None:
        self.tables = Tables(folder / "data")
        self.instance = instance
        for name, value in {**BUCKET, "SIGMA_IMPRESSIONS_STORAGE": str(folder / "data"), **environment}.items():
            monkeypatch.setenv(name, value)

    def materialize(self) -> dict[str, dg.AssetCheckEvaluation]:
        source = SigmaSource.from_environment(os.environ)
        result = dg.materialize(build_member_assets(), resources={"source": source}, instance=self.instance)
        assert result.success
        (materialization,) = result.asset_materializations_for_node("sigma_members")
        self.metadata = materialization.metadata
        return {found.check_name: found for found in result.get_asset_check_evaluations()}

    def emails(self) -> list[str]:
        return members_as_of(self.tables, datetime.now(UTC).date())["user_email"].to_list()


def test_members_that_cannot_be_read_leave_the_last_ones_in_use(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "members.csv"
    named = {"SIGMA_IMPRESSIONS_MEMBERS": str(file), "SIGMA_IMPRESSIONS_EXCLUDED_USERS": "*@y.org"}
    source = Source(tmp_path, instance, monkeypatch, named)
    file.write_text("email,name\nann@x.org,Ann\nBob@x.org,Bob\nbot@y.org,Bot\n")
    assert all(check.passed for check in source.materialize().values())
    assert source.emails() == ["ann@x.org", "bob@x.org"]
    assert "@" not in str(source.metadata)
    assert "Ann" not in str(source.metadata)
    assert source.metadata["read_from"].value == str(file)
    for text in ("email\n", "name\nAnn\n", None):
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        checks = source.materialize()
        assert not checks["members_are_read"].passed
        assert "The last known members stay in use" in str(checks["members_are_read"].description)
        assert source.emails() == ["ann@x.org", "bob@x.org"]
    file.write_text("email\nann@x.org\n")
    checks = source.materialize()
    assert checks["members_are_read"].passed
    assert "50 % of the members vanished" in str(checks["members_are_complete"].description)


def steps(environment: dict[str, str]) -> list[tuple[bool | None, str]]:
    settings = read_settings(environment_values({**BUCKET, **environment}))
    return [(step.passed, step.message) for step in check_members(settings)]


def test_the_test_of_a_source_looks_at_the_members(tmp_path: Path) -> None:
    ((passed, said),) = steps({})
    assert (passed, said[:19]) == (None, "no members are read")
    ((passed, said),) = steps({"SIGMA_IMPRESSIONS_MEMBERS": str(tmp_path / "none.csv")})
    assert (passed, said[:16]) == (False, "There is no file")
    (tmp_path / "m.csv").write_text(
        "email,name,Account Type,kind,teams,created_at\nann@x.org,Ann,Viewer,guest,,2026-01-02\n"
    )
    said = "1 member; there is nothing in account_type"
    assert steps({"SIGMA_IMPRESSIONS_MEMBERS": str(tmp_path / "m.csv")}) == [(True, said)]
    (tmp_path / "m.csv").write_text("email\n")
    assert steps({"SIGMA_IMPRESSIONS_MEMBERS": str(tmp_path / "m.csv")}) == [(True, "0 members")]


def test_members_are_read_from_sigma(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeSigma(large_organization(1, 1)) as sigma:
        environment = sigma.environment()
        ((passed, _),) = steps(environment)
        assert passed
        source = Source(tmp_path, instance, monkeypatch, environment)
        checks = source.materialize()
        assert checks["members_are_read"].passed, checks["members_are_read"].description
        shown = [record.data for record in source.metadata["account_types"].value.records]
        assert {row["kind"] for row in shown} <= {"internal", "guest", "embed"}
        assert sum(row["members"] for row in shown) == source.metadata["members"].value
        # Guests and bots without an address are nothing to be mended.
        sigma.organization.add_member("")
        assert source.materialize()["members_are_read"].passed
        sigma.behaviour.is_administrator = False
        said = str(source.materialize()["members_are_read"].description)
        assert "holds no members" in said
        assert "may not list members" in said
        assert steps(environment | OFF)[0][0] is None


@pytest.mark.parametrize("read_from", ["file", "API"])
def test_who_was_forgotten_stays_so_while_excluded(
    read_from: str, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization, file = Organization(), tmp_path / "members.csv"
    organization.add_member("Ann@x.org", "Ann Lee")
    organization.add_team("HR", [organization.add_member("bob@x.org", "Bob"), "member-0"])
    file.write_text("email,name,teams\nAnn@x.org,Ann Lee,HR\nbob@x.org,Bob,HR\n")
    with FakeSigma(organization) as sigma:
        named = sigma.environment() if read_from == "API" else {"SIGMA_IMPRESSIONS_MEMBERS": str(file)}
        source = Source(tmp_path, instance, monkeypatch, named)
        source.materialize()
        assert source.emails() == ["ann@x.org", "bob@x.org"]
        forget_stored(source.tables, "ann@x.org", None, lambda line: None)
        monkeypatch.setenv("SIGMA_IMPRESSIONS_EXCLUDED_USERS", "ann@x.org")
        source.materialize()
        nobody, bob = sorted(source.emails(), key=lambda email: email == "bob@x.org")
        assert (nobody.startswith("forgotten_"), bob) == (True, "bob@x.org")
        monkeypatch.delenv("SIGMA_IMPRESSIONS_EXCLUDED_USERS")
        source.materialize()
        assert "ann@x.org" in source.emails()
