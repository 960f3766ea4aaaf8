"""The file `.env` of a project: settings for whoever does not set them in the environment."""

from __future__ import annotations

import io
from pathlib import Path

from dotenv import load_dotenv

from sigma_impressions.errors import OperatorError
from sigma_impressions.project import ENV_FILE


def load_env_file(project: Path) -> None:
    """Add the variables of the project's `.env` to the environment of this process; those that are set there stay.

    This is the only place that reads it. Raises `OperatorError` if it cannot be read.
    """
    path = project / ENV_FILE
    try:
        # Some editors begin a file with a byte order mark, which would belong to the first name.
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise OperatorError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    load_dotenv(stream=io.StringIO(text), override=False)
