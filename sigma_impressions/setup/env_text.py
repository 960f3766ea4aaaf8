"""The file `.env` as it is written: some variables change, and all the rest stays as somebody wrote it."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv.main import DotEnv
from dotenv.parser import Binding, parse_stream

from sigma_impressions.errors import OperatorError
from sigma_impressions.lake.scratch import replacing
from sigma_impressions.settings.env_file import BYTE_ORDER_MARK

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,~^-]+")
"""Values that need no quotes, neither here nor in a shell."""

_ASSIGNMENT = re.compile(
    r"""(?P<before>\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=\#\s]+)[^\S\r\n]*)
        (?:=[^\S\r\n]*(?:(?P<quoted>'(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*") | (?!['"])[^\r\n]*?))?
        (?P<after>(?:(?(quoted)[^\S\r\n]*|[^\S\r\n]+)\#[^\r\n]*)?[^\S\r\n]*(?:\r\n|\n|\r|$))""",
    re.VERBOSE | re.DOTALL,
)
"""A line as python-dotenv reads it: what stays before and after the value."""


def write_env_text(path: Path, text: str) -> None:
    """Put a text in the place of a file `.env`, for its owner only; a killed process leaves the old one.

    A link stays, and what it leads to is replaced. Raises `OperatorError`.
    """
    try:
        target = path.resolve()
        before = target.stat() if target.exists() else None
        if before is not None and before.st_uid == os.geteuid():
            # First: the new file takes its mode from the old one.
            target.chmod(0o600)
        with replacing(target) as partial, partial.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        if before is not None and os.geteuid() == 0:
            os.chown(target, before.st_uid, before.st_gid)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its link leads to itself"
        raise OperatorError(f"{path} cannot be written: {reason}.") from None


def variables_in(text: str) -> dict[str, str]:
    """The variables that a text gives to whoever loads it; those of the environment win where it refers to some."""
    loaded = DotEnv(None, stream=io.StringIO(text), override=False).dict()
    return {name: value for name, value in loaded.items() if value is not None}


def literals_in(text: str) -> dict[str, str]:
    """The variables that a text gives values to, as they are written: nothing in them refers to others."""
    return {name: value for name, value in _read(text).items() if value}


def merged(text: str, changes: Mapping[str, str | None]) -> str:
    """The text with other values, each of one line, for some variables; None takes one out.

    Comments, order, quotes and line ends of all the rest stay byte for byte, and so does the comment behind a value.
    Raises `OperatorError` if a quote that was left open would swallow what is added.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    values = {name: _without_references(value) for name, value in changes.items() if value is not None}
    new, body = dict(values), ""
    for line in _lines(text):
        if line.key is None or line.key not in changes:
            body += line.original.string
        else:
            body += _changed(line.original.string, values.get(line.key))
            new.pop(line.key, None)
    if new and body and not body.endswith(("\n", "\r")):
        body += end
    body += "".join(f"{name}={_quoted(value)}{end}" for name, value in new.items())
    kept = {name: value for name, value in _read(text).items() if name not in changes}
    if _read(body) != kept | values:
        raise OperatorError(
            f"The file .env cannot be changed: its line {_first_fault(text)} cannot be read, perhaps because a quote "
            "was left open. Mend that line, or delete it."
        )
    return (BYTE_ORDER_MARK if text.startswith(BYTE_ORDER_MARK) else "") + body


def _changed(line: str, value: str | None) -> str:
    match = _ASSIGNMENT.fullmatch(line)
    if value is None or match is None:
        # The empty lines before it belong to what they set apart.
        return line[: len(line) - len(re.sub(r"^(?:[^\S\r\n]*(?:\r\n|\n|\r))+", "", line))]
    after = match["after"]
    return f"{match['before']}={_quoted(value)}{f' {after}' if after.startswith('#') else after}"


def _without_references(value: str) -> str:
    """The value so that it is read as it is: `${` would refer to a variable, within quotes, too."""
    if re.search(r"[\r\n\0]", value):
        raise ValueError("a value of several lines")
    # A reference to a variable without a name, which is `$` by default.
    return value.replace("${", "${:-$}{")


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _lines(text: str) -> Iterator[Binding]:
    """What python-dotenv reads, line by line; a value in quotes may have several."""
    return parse_stream(io.StringIO(text.removeprefix(BYTE_ORDER_MARK), newline=""))


def _read(text: str) -> dict[str, str | None]:
    """The variables of a text, with references as they are written."""
    return {line.key: line.value for line in _lines(text) if line.key is not None}


def _first_fault(text: str) -> int:
    """The number of the first line that cannot be read, else of the last one."""
    for line in _lines(text):
        if line.error:
            written = line.original.string
            return line.original.line + written[: len(written) - len(written.lstrip())].count("\n")
    return text.count("\n") + 1
