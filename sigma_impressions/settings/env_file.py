"""The file `.env` of a project: settings for whoever does not set them in the environment."""

from __future__ import annotations

import io
from pathlib import Path

from dotenv import load_dotenv

from sigma_impressions.errors import OperatorError
from sigma_impressions.project import ENV_FILE

BYTE_ORDER_MARK = "\ufeff"
"""What some editors begin a file with; it would belong to the first name."""


def load_env_file(project: Path) -> None:
    """Add the variables of the project's `.env` to the environment of this process; those that are set there stay.

    Raises `OperatorError` if it cannot be read.
    """
    path = project / ENV_FILE
    text = read_env_text(path).removeprefix(BYTE_ORDER_MARK)
    try:
        load_dotenv(stream=io.StringIO(text), override=False)
    except ValueError:
        # Between quotes python-dotenv takes any name.
        raise OperatorError(f"{path} gives a variable a name with = in it. Write the = behind the quotes.") from None


def read_env_text(path: Path) -> str:
    """The text of a file `.env`, its line ends as they are; empty if there is none. Raises `OperatorError`."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise OperatorError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    if "\0" in text:
        # No variable can hold it; UTF-16 without a mark is full of it.
        zero = len(text.partition("\0")[0].encode())
        raise OperatorError(f"{path} is no text: its byte {zero} is zero. Save it as UTF-8.")
    return text
