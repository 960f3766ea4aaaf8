"""Whose project is followed: only one that nobody else could have put there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from sigma_impressions.cli import main
from sigma_impressions.errors import SettingsError
from sigma_impressions.project import PROJECT_VARIABLE, dagster_home, project_folder
from sigma_impressions.settings.read import environment_values, read_settings

NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a file .env; the working directory is a folder in it."""
    folder = tmp_path / "project"
    (folder / "dagster_home").mkdir(parents=True)
    (folder / "workspace.yaml").touch()
    (folder / ".env").write_text("SIGMA_BASE_URL=https://evil.example.com\n")
    (folder / ".dlt").mkdir()
    (folder / "notebooks").mkdir()
    monkeypatch.chdir(folder / "notebooks")
    for name in (PROJECT_VARIABLE, "SUDO_UID", "SIGMA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_ones_own_is_followed(project: Path) -> None:
    assert project_folder() == project


@as_root
@pytest.mark.parametrize("part", [".", ".env", ".dlt", "dagster_home", "workspace.yaml"])
def test_one_of_somebody_else_is_refused(project: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(project / part, NOBODY, NOBODY)
    ended = CliRunner().invoke(main, ["check", "--settings"])
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "SIGMA_BASE_URL" not in os.environ
    named = " ".join(ended.stderr.split())
    assert named.startswith(f"{PROJECT_VARIABLE}: is not set, and {project / part}, which was found from the working")
    assert "belongs to the user nobody, not to the user root" in named
    assert f"set {PROJECT_VARIABLE} to its folder" in named
    # Whoever names it, or called sudo in it, wants it.
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    assert project_folder() == project
    monkeypatch.delenv("SUDO_UID")
    monkeypatch.setenv(PROJECT_VARIABLE, str(project))
    assert project_folder() == project


@pytest.mark.parametrize(("part", "mode"), [(".", 0o777), (".env", 0o666), ("dagster_home", 0o757)])
def test_one_that_everybody_may_write_is_refused(project: Path, part: str, mode: int) -> None:
    (project / part).chmod(mode)
    with pytest.raises(SettingsError, match=r"may be written by every user of this machine.*chmod o-w"):
        project_folder()


def test_a_group_and_a_sticky_folder_do_no_harm(project: Path) -> None:
    (project / ".env").chmod(0o660)
    project.chmod(0o1777)
    assert project_folder() == project


@as_root
def test_a_link_counts_as_what_it_is_and_as_what_it_leads_to(project: Path, tmp_path: Path) -> None:
    env, real = project / ".env", tmp_path / "real"
    real.touch()
    env.unlink()
    env.symlink_to(real)
    assert project_folder() == project
    os.chown(env, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(SettingsError, match="belongs to the user nobody"):
        project_folder()
    os.chown(env, 0, 0, follow_symlinks=False)
    os.chown(real, NOBODY, NOBODY)
    with pytest.raises(SettingsError, match="belongs to the user nobody"):
        project_folder()


@pytest.mark.parametrize("variable", ["SIGMA_IMPRESSIONS_STORAGE", "DAGSTER_HOME", PROJECT_VARIABLE])
def test_the_home_of_nobody_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "s3://exports-bucket/")
    monkeypatch.setenv(variable, "~no-such-user/data")
    with pytest.raises(SettingsError, match=f"{variable}: begins with '~no-such-user', and no such home is known"):
        read_settings(environment_values(os.environ))
        dagster_home(project_folder())


@as_root
@pytest.mark.parametrize("part", [".env", "dagster_home"])
def test_a_working_directory_that_is_no_project_is_looked_at_too(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PROJECT_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    # Installed, not from a checkout.
    monkeypatch.setattr("sigma_impressions.project.__file__", str(tmp_path / "site-packages" / "x" / "project.py"))
    assert project_folder() == tmp_path
    (tmp_path / part).mkdir()
    os.chown(tmp_path / part, NOBODY, NOBODY)
    with pytest.raises(SettingsError, match="belongs to the user nobody"):
        project_folder()
