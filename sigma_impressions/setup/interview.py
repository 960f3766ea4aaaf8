"""An interview: which question is next, what is wrong with an answer, and what the answers come to.

It knows no terminal. Whoever leads it asks what `next` says until there is nothing more to ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sigma_impressions.errors import RefusedValue, SettingsError
from sigma_impressions.settings.declared import BY_NAME, SETTINGS, Settings
from sigma_impressions.settings.parse import one_of
from sigma_impressions.settings.read import environment_values, read_settings, value_of
from sigma_impressions.setup.questions import (
    API,
    ASSET,
    FILE,
    KEY_FILE,
    KEYS,
    QUESTIONS,
    TEMPORARY_KEYS,
    YES,
    Question,
)

_INSTEAD = {"AWS_ENDPOINT_URL_S3": "AWS_ENDPOINT_URL"}
"""Variables that mean the same where the first one is not set."""


class Interview:
    """The answers so far, beside what a file `.env`, the environment and the options of a command say."""

    def __init__(self, file: Mapping[str, str], environment: Mapping[str, str], given: Mapping[str, str]) -> None:
        self._file = file
        self._environment = environment
        self._given = given
        self._present = {**file, **environment}
        self._before: dict[str, str] = {}
        self.answers: dict[str, str] = {}

    def next(self) -> Question | None:
        """The first question that has no answer yet; those that do not arise any more lose theirs."""
        for question in QUESTIONS:
            if not question.applies(self.answers):
                self.answers.pop(question.name, None)
            elif question.name not in self.answers:
                return question
        return None

    def default(self, question: Question) -> str:
        """The answer before, else what was given or is present, else what is taken where nobody says anything."""
        for texts in (self._before, self._given):
            if question.name in texts:
                return texts[question.name]
        if question.choices:
            return self._usual(question)
        found = (self._present.get(name) for name in (question.variable, _INSTEAD.get(question.variable, "")))
        return next((text.strip() for text in found if text), question.default)

    def is_given(self, question: Question) -> bool:
        """Whether options have answered a question already, or are of use with one answer only."""
        said = question.name in self._given or _meant(question.name, set(self._given)) is not None
        return said and question.name not in self._before

    def answer(self, question: Question, text: str) -> str | None:
        """Take an answer; what is wrong with it, if something is, as the rest of a sentence."""
        fault = self._taken(question, text)
        if fault is not None:
            self.answers.pop(question.name, None)
        if fault is None or not question.is_secret:
            # To be corrected letter by letter; of a secret nothing is seen.
            self._before[question.name] = text
        return fault

    def skip(self, question: Question) -> None:
        """Leave a question without an answer, to see what else is wrong."""
        self.answers[question.name] = ""

    def reopen(self, name: str) -> None:
        """Ask a question again; its answer is the default then."""
        del self.answers[name]

    def asked(self) -> Iterator[tuple[Question, str]]:
        """The questions that arise, with their answers."""
        for question in QUESTIONS:
            if question.name in self.answers:
                yield question, self.answers[question.name]

    @property
    def variables(self) -> dict[str, str | None]:
        """What the answers say of variables; None is not set."""
        said: dict[str, str | None] = {}
        for question, text in self.asked():
            for choice in question.choices:
                if choice.name == text:
                    said.update(choice.variables)
            if question.variable:
                said[question.variable] = text or None
        return said

    @property
    def effective(self) -> dict[str, str]:
        """All variables as the commands will see them, if nothing in the environment contradicts the answers."""
        left = {name: text for name, text in self._file.items() if name not in self._left()}
        whole = {**left, **self._environment, **self.variables}
        return {name: text for name, text in whole.items() if text is not None}

    def settings(self) -> Settings:
        """The settings, which have to be valid."""
        return read_settings(environment_values(self.effective))

    @property
    def changes(self) -> dict[str, str | None]:
        """What is to be written into the file; None is to be taken out of it.

        Neither a default that the file does not name, nor a secret that the environment holds.
        """
        changes: dict[str, str | None] = {name: None for name in self._left() if name in self._file}
        for name, text in self.variables.items():
            written = self._file.get(name)
            is_default = written is None and text == self._defaults.get(name)
            if text != written and not is_default and name not in self.kept_in_environment:
                changes[name] = text
        return changes

    @property
    def kept_in_environment(self) -> list[str]:
        """The secrets that only the environment holds: nobody has asked to have them in a file."""
        secrets = [(question, text) for question, text in self.asked() if question.is_secret]
        return [
            question.variable
            for question, text in secrets
            if text == self._environment.get(question.variable, "").strip()
            and text != self._file.get(question.variable)
            and question.name not in self._given
        ]

    @property
    def contradicted(self) -> dict[str, str]:
        """The variables of the environment that win over the answers, with their texts; `***` if it may be a secret."""
        return {
            name: self._environment[name] if _may_be_shown(name, self._environment[name]) else "***"
            for name, text in self.variables.items()
            if name in self._environment
            and (self._environment[name].strip() or self._defaults.get(name, "")) != (text or "")
        }

    @property
    def unused(self) -> list[Question]:
        """The questions that options have answered, and that do not arise."""
        # A template may be wanted where the file is there already.
        answered = {"template", *self.answers}
        return [question for question in QUESTIONS if question.name in self._given and question.name not in answered]

    @property
    def has_template(self) -> bool:
        """Whether a template of the file with the resources is to be written."""
        return self.answers.get("template") == YES

    def _taken(self, question: Question, text: str) -> str | None:
        try:
            if question.choices:
                one_of(*(choice.name for choice in question.choices))(text)
            self.answers[question.name] = question.rule(text)
        except RefusedValue as refused:
            return str(refused)
        fault = self._fault(question.variable)
        if fault is None and question.is_needed and not self.answers[question.name]:
            return "must not be empty"
        return fault

    @property
    def _defaults(self) -> dict[str, str]:
        return {question.variable: question.default for question, _ in self.asked()}

    def _left(self) -> list[str]:
        chosen = (choice for question, text in self.asked() for choice in question.choices if choice.name == text)
        return [name for choice in chosen for name in choice.left]

    def _fault(self, variable: str) -> str | None:
        """What the settings say of one variable, given all answers so far; the others may well be missing still."""
        try:
            self.settings()
        except SettingsError as error:
            return next((p.message for p in error.problems if p.environment_variable == variable), None)
        return None

    def _usual(self, question: Question) -> str:
        """What is chosen where it is not said: what the options mean, else what is there already."""
        present = {other.name for other in QUESTIONS if other.variable and self._present.get(other.variable)}
        external = self._present.get(BY_NAME["resources_asset"].variable, "").strip().lower() == "external"
        for known in (set(self._given), present):
            if found := _meant(question.name, known):
                return ASSET if found == FILE and external else found
        return question.choices[0].name


def _meant(question: str, known: set[str]) -> str | None:
    """The choice that texts are given for."""
    match question:
        case "aws_credentials":
            keys = TEMPORARY_KEYS if "aws_session_token" in known else KEYS
            return keys if known & {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"} else None
        case "google_credentials":
            return KEY_FILE if "google_key_file" in known else None
        case "resources_from":
            if "resources" in known:
                return FILE
            return API if known & {"sigma_base_url", "sigma_client_id", "sigma_client_secret"} else None
    return None


def _may_be_shown(variable: str, text: str) -> bool:
    """Whether a text is no secret: neither a variable's for one, nor one that its variable cannot be meant to hold."""
    settings = [setting for setting in SETTINGS if setting.variable == variable]
    try:
        for question in QUESTIONS:
            if question.variable == variable:
                question.rule(text)
        for setting in settings:
            value_of(setting, text)
    except RefusedValue:
        return False
    return not any(setting.secret for setting in settings)
