"""New files are their owner's alone while something of ours works, and only then."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import sigma_impressions.defs
from sigma_impressions.defs.failures import clear_failures, clear_ticks
from sigma_impressions.owner_only import for_owner_only


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def made_with(folder: Path, name: str) -> int:
    path = folder / name
    path.touch()
    return path.stat().st_mode & 0o777


def test_it_ends_with_the_work_also_where_that_fails(tmp_path: Path) -> None:
    with for_owner_only():
        assert made_with(tmp_path, "a") == 0o600
        with pytest.raises(ZeroDivisionError), for_owner_only():
            raise ZeroDivisionError
        assert made_with(tmp_path, "b") == 0o600
    assert made_with(tmp_path, "c") == 0o644


def test_steps_and_ticks_work_so(tmp_path: Path) -> None:
    for around in (clear_failures, clear_ticks):
        with around():
            assert made_with(tmp_path, around.__name__) == 0o600
    assert made_with(tmp_path, "others") == 0o644


def test_no_step_or_tick_works_otherwise() -> None:
    functions = [
        function
        for module in Path(sigma_impressions.defs.__file__ or "").parent.glob("*.py")
        for function in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        and any(
            re.match(r"dg\.(asset|multi_asset|op|sensor|asset_sensor|schedule)\(", ast.unparse(d))
            for d in function.decorator_list
        )
    ]
    assert len(functions) > 10
    surrounded = re.compile(r"with clear_failures\(\):|^@tick$", re.MULTILINE)
    without = {f.name for f in functions if not surrounded.search(ast.unparse(f))}
    # It looks at the event, and opens nothing.
    assert without == {"new_sigma_resources"}


def test_threads_that_come_and_go_do_not_disturb_each_other(tmp_path: Path) -> None:
    def work(number: int) -> int:
        with for_owner_only():
            return made_with(tmp_path, str(number))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(500))) == {0o600}
    assert made_with(tmp_path, "after") == 0o644


def test_what_the_operator_forbids_stays_forbidden(tmp_path: Path) -> None:
    os.umask(0o277)
    with for_owner_only():
        assert made_with(tmp_path, "a") == 0o400
