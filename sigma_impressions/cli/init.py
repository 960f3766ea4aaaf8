"""The command that makes the first settings of a project: `init`."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from sigma_impressions.cli.common import called, fail, say
from sigma_impressions.cli.source import tell_steps
from sigma_impressions.folders import fault_of_folder
from sigma_impressions.interrupts import interrupted_by
from sigma_impressions.project import ENV_FILE, project_folder

if TYPE_CHECKING:
    from sigma_impressions.setup.interview import Interview
    from sigma_impressions.setup.outcome import Saved
    from sigma_impressions.setup.questions import Question


@click.command()
@click.option("--name", help="What the source is called.")
@click.option("--bucket-uri", metavar="URI", help="Where Sigma writes its exports: s3://… or gs://…")
@click.option("--days-back", metavar="N", help="File dates that one run scans, counting today.")
@click.option("--aws-credentials", metavar="KIND", help="environment, keys or temporary-keys.")
@click.option("--aws-region", metavar="REGION", help="AWS region of the bucket.")
@click.option("--endpoint-url", metavar="URL", help="Endpoint of an S3-compatible store.")
@click.option("--google-credentials", metavar="KIND", help="environment or key-file.")
@click.option("--google-key-file", metavar="FILE", help="Key file of a service account.")
@click.option("--resources-from", metavar="KIND", help="Workbooks and elements: api, file or asset.")
@click.option("--sigma-base-url", metavar="URL", help="URL or region of Sigma's REST API.")
@click.option("--resources", metavar="FILE", help="File with workbooks and elements: a path or a URI.")
@click.option(
    "--template", is_flag=True, flag_value="yes", default=None, help="Write a template of that file if it is not there."
)
@click.option("--storage", metavar="FOLDER", help="Where the tables are kept: a folder or a URI.")
@click.option(
    "--secrets",
    type=click.File(encoding="utf-8"),
    help="File with lines VARIABLE=value for keys and secrets, or - for standard input.",
)
@click.option("--yes", is_flag=True, help="Ask nothing, also at a terminal.")
@click.option("--no-test", is_flag=True, help="Write the settings without a test of the source.")
def init(secrets: TextIO | None, yes: bool, no_test: bool, **answers: str | None) -> None:
    """Ask for the settings of a source, test them as check does, and write them into the project's file .env.

    What is there already is offered, and all else that the file holds stays as it is. Options answer questions
    beforehand; without a terminal they, the environment and the file are all there is. Secrets are no options, which
    everybody on a machine can see: they are asked for, or come from --secrets, or from the environment, where they
    stay. Nothing is written before the end.

    Exit code 0; 1 if the test failed or you gave up; 2 if an answer is missing or wrong; 130 or 143 after
    Ctrl-C or SIGTERM.
    """
    from sigma_impressions.settings.env_file import read_env_text
    from sigma_impressions.setup.env_text import variables_in
    from sigma_impressions.setup.interview import Interview
    from sigma_impressions.setup.outcome import save

    project = project_folder()
    path = project / ENV_FILE
    if fault := fault_of_folder(project):
        fail(f"The settings would go to {path}, but {project} {fault}. Give this user the right, or choose a folder.")
    given = {name: text for name, text in answers.items() if text is not None}
    interview = Interview(variables_in(read_env_text(path)), dict(os.environ), given | _secrets_in(secrets))
    try:
        if not yes and sys.stdin.isatty() and sys.stdout.isatty():
            say(f"These settings go to {path}.")
            if path.exists():
                say("What else it holds stays as it is.")
            say("Enter takes what is there, Ctrl-U empties the line, Ctrl-C gives up and writes nothing.")
            say("")
            has_passed = _by_keyboard(interview, tests=not no_test)
        else:
            has_passed = _from_options(interview, tests=not no_test)
    except KeyboardInterrupt:
        say("Interrupted; nothing was written.", stderr=True)
        # Of Ctrl-C at a question no signal comes.
        sys.exit(128 + (interrupted_by() or signal.SIGINT))
    _tell(interview, save(project, interview), path, has_passed)


def _secrets_in(file: TextIO | None) -> dict[str, str]:
    """The secrets that a file holds, by the names of their questions."""
    if file is None:
        return {}
    from sigma_impressions.setup.env_text import literals_in
    from sigma_impressions.setup.questions import QUESTIONS

    names = {question.variable: question.name for question in QUESTIONS if question.is_secret}
    try:
        values = literals_in(file.read())
    except UnicodeDecodeError:
        raise click.UsageError("--secrets: the file is not UTF-8.") from None
    if unknown := sorted(set(values) - set(names)):
        raise click.UsageError(f"--secrets: {unknown[0]} is none of {', '.join(names)}.")
    return {names[variable]: value for variable, value in values.items()}


def _by_keyboard(interview: Interview, *, tests: bool) -> bool:
    """Ask until the test passes or is not wanted any more; whether it has passed."""
    from sigma_impressions.cli.prompts import choose
    from sigma_impressions.setup.outcome import suspect, tried

    while True:
        _ask(interview)
        say("")
        if not tests:
            return False
        say("Testing the source:")
        failed = tell_steps(tried(interview))
        say("")
        if not failed:
            return True
        ways = {"correct": "correct an answer", "save": "save it all the same", "give up": "give up, write nothing"}
        way = choose("The test has failed. What now?", ways, "correct")
        if way == "save":
            return False
        if way == "give up":
            fail("Given up; nothing was written.")
        titles = {question.name: f"{question.asks}: {question.shown(text)}" for question, text in interview.asked()}
        interview.reopen(choose("Which answer?", titles, suspect(failed[0], interview)))


def _ask(interview: Interview) -> None:
    """Ask what has no answer yet, each until it has a good one."""
    while question := interview.next():
        text = interview.default(question) if interview.is_given(question) else _answer(interview, question)
        while fault := interview.answer(question, text):
            say(f"  {question.asks}: {fault}", "red")
            text = _answer(interview, question)


def _answer(interview: Interview, question: Question) -> str:
    from sigma_impressions.cli import prompts
    from sigma_impressions.setup.questions import NO, YES

    default = interview.default(question)
    if question.is_yes_or_no:
        return YES if prompts.confirm(question.asks) else NO
    if question.choices:
        return prompts.choose(question.asks, {choice.name: choice.title for choice in question.choices}, default)
    if question.suggested:
        return prompts.choose_or_write(question.asks, question.suggested, default)
    if question.is_secret:
        return prompts.ask_secret(question.asks, question.hint, is_set=bool(default)) or default
    return prompts.ask_text(question.asks, question.hint, default)


def _from_options(interview: Interview, *, tests: bool) -> bool:
    """Take what is given, present or usual; whether the test has passed."""
    from sigma_impressions.setup.outcome import tried

    faults = []
    while question := interview.next():
        text = interview.default(question)
        if fault := interview.answer(question, text):
            where = " (in the environment, or in --secrets)" if question.is_secret else ""
            faults.append(f"{question.given_as}: {fault}" if text else f"Missing: {question.given_as}{where}")
            interview.skip(question)
    faults += [f"{question.given_as}: is of no use with the other answers" for question in interview.unused]
    if faults:
        raise click.UsageError("Nothing was written, as there are answers missing or wrong.\n" + "\n".join(faults))
    if not tests:
        return False
    if tell_steps(tried(interview)):
        fail("The test has failed, and nothing was written. Mend what it says, or write it all the same: --no-test.")
    return True


def _tell(interview: Interview, saved: Saved, path: Path, has_passed: bool) -> None:
    """Say what was written, what wins over it, and what to do next."""
    from sigma_impressions.setup.outcome import next_commands

    count = len(saved.written)
    if count:
        say(f"Wrote {count} variable{'s' if count > 1 else ''} into {path}, which only you can read.", "green")
    if saved.removed:
        say(f"Took out of {path}: {', '.join(saved.removed)}.", "green")
    if not (count or saved.removed):
        say(f"Nothing had to change in {path}.", "green")
    if saved.template is not None:
        say(f"Wrote a template, {saved.template}. Replace its rows with yours.", "green")
    for name in interview.kept_in_environment:
        say(f"{name} stays in the environment, and every command needs it there.", "yellow")
    for name, text in interview.contradicted.items():
        value = "another value" if text == "***" else f"{text!r}" if text else "blank"
        say(f"{name} is {value} in the environment, which wins over this answer: unset it there.", "yellow")
    say("")
    say("Next, in this folder:" if Path.cwd() == path.parent else "Next:")
    commands = [(f"{called()} {command}", why) for command, why in next_commands(interview, has_passed, _today())]
    width = max(len(command) for command, _ in commands)
    for command, why in commands:
        say(f"  {command:<{width}}   {why}")


def _today() -> date:
    return datetime.now(UTC).date()
