"""A setting is declared once: everything else that knows it is derived from the declaration."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sigma_impressions
from sigma_impressions.settings.read import misspelt, read_leniently
from sigma_impressions_tests.settings.page import with_tables

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

DECLARATION = """
    toys: int = _setting(
        parse.gigabytes,
        "How many toys there are.",
        Group.INSIGHTS,
        default="3",
    )
"""
"""A new setting, as somebody would add it."""

USES = """
import dagster as dg
from sigma_impressions import SigmaImpressionsComponent
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.settings.declared import BY_NAME
from sigma_impressions.settings.read import environment_values, read_settings
from sigma_impressions_tests.settings.page import table

given = {"SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/x", "SIGMA_IMPRESSIONS_TOYS": "7"}
settings = read_settings(environment_values(given))
assert settings.toys == 7, settings
assert settings.describe()["toys"] == "7"
assert read_settings({"bucket_uri": "s3://bucket/x"}).toys == 3
assert SigmaSource.from_environment(given).toys == dg.EnvVar("SIGMA_IMPRESSIONS_TOYS")
assert SigmaSource(bucket_uri="s3://bucket/x", toys="8").settings().toys == 8
assert SigmaImpressionsComponent.model_fields["toys"].description == "How many toys there are. Default: 3."
assert table([BY_NAME["toys"]]).endswith("| `SIGMA_IMPRESSIONS_TOYS` | `3` | How many toys there are. |")
"""


@pytest.mark.slow
def test_a_new_setting_needs_one_place_in_the_code(tmp_path: Path) -> None:
    package = tmp_path / "sigma_impressions"
    shutil.copytree(Path(sigma_impressions.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    declared = package / "settings" / "declared.py"
    before, following, rest = declared.read_text(encoding="utf-8").partition("    underused_below_users:")
    assert following
    declared.write_text(f"{before.rstrip()}{DECLARATION}{following}{rest}", encoding="utf-8")
    subprocess.run([sys.executable, "-c", USES], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, check=True)


def test_the_page_lists_the_settings_as_they_are_declared() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page) == page, "python -m sigma_impressions_tests.settings.page writes the tables anew"


def test_a_page_that_lacks_a_group_is_refused() -> None:
    page = PAGE.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="no mark <!-- settings: privacy -->"):
        with_tables(page.replace("settings: privacy", ""))


def test_a_misspelt_variable_is_named_with_the_nearest_right_one() -> None:
    environ = {
        "SIGMA_IMPRESSIONS_DAYSBACK": "2",
        "SIGMA_IMPRESSIONS_BUCKET": "s3://bucket/x",
        "SIGMA_IMPRESSIONS_PROJECT": "/srv/sigma",
        "SIGMA_IMPRESSIONS_TIME_ZONE": "UTC",
        "SIGMA_CLIENT": "of another program",
    }
    assert [(problem.environment_variable, problem.message) for problem in misspelt(environ)] == [
        (
            "SIGMA_IMPRESSIONS_BUCKET",
            "is not a setting and has no effect. Perhaps SIGMA_IMPRESSIONS_BUCKET_URI is meant",
        ),
        (
            "SIGMA_IMPRESSIONS_DAYSBACK",
            "is not a setting and has no effect. Perhaps SIGMA_IMPRESSIONS_DAYS_BACK is meant",
        ),
    ]


def test_what_is_refused_has_its_default_when_definitions_are_made() -> None:
    early = read_leniently({"SIGMA_IMPRESSIONS_SCHEDULE": "often", "SIGMA_IMPRESSIONS_DAYS_BACK": "9"})
    assert (early.schedule, early.days_back, early.bucket_uri) == ("0 6 * * *", 3, None)
