"""The job `test_source`: the steps of `sigma-impressions check`, from the UI."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.texts import markdown

if TYPE_CHECKING:
    from sigma_impressions.check.step import Step

SOURCE_TEST_JOB_NAME = "test_source"

_MARKS = {True: "ok", False: "FAIL", None: "skipped"}


def build_check_job(names: Names = PLAIN_NAMES) -> dg.JobDefinition:
    """The job `test_source`; a step that fails makes the run fail, with the same table as a run that succeeds."""

    @dg.op(
        name=names.name("check_source"),
        required_resource_keys={names.resource},
        description=(
            "One step after the other: settings, Dagster, disk, storage, credentials, list, get, header, rows, "
            "resources, match, members, warehouse."
        ),
    )
    def check(context: dg.OpExecutionContext) -> dg.Output[None]:
        # Here, as a tick of the sensor, which is another process, has no need of all that reads files.
        from sigma_impressions.check.source import check_source

        steps: list[Step] = []
        with clear_failures():
            for step in check_source(names.source_of(context.resources).values(), context.instance):
                steps.append(step)
                say = log_of(context).error if step.passed is False else log_of(context).info
                say(f"{_MARKS[step.passed]}  {step.name}: {step.message}")
        metadata = {"steps": dg.MetadataValue.md(steps_as_markdown(steps))}
        failed = [step for step in steps if step.passed is False]
        if failed:
            said = "\n".join(f"{step.name}: {step.message}" for step in failed)
            raise dg.Failure(said, metadata=metadata, allow_retries=False)
        return dg.Output(None, metadata=metadata)

    @dg.job(
        name=names.name(SOURCE_TEST_JOB_NAME),
        # Its one step needs no process of its own.
        executor_def=dg.in_process_executor,
        description=(
            "Tests the source as `sigma-impressions check` does: settings, rights, the newest export file, the "
            "resources. Captures nothing. Read the table `steps` in the run's log; each failure says what to do."
        ),
    )
    def test_source() -> None:
        check()

    return test_source


def steps_as_markdown(steps: Sequence["Step"]) -> str:
    """The steps as a Markdown table; what they say is shown as it is, whatever a key or a header holds."""
    rows = [f"| {step.name} | {_MARKS[step.passed]} | {markdown(step.message)} |" for step in steps]
    return "\n".join(["| step | result | says |", "| --- | --- | --- |", *rows])
