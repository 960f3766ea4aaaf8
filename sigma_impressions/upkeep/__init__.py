"""What is done to stored tables later: compact them, drop detail, edit users."""

from typing import Final

DEFAULT_KEEP_DAYS: Final = 7
"""Days for which a maintenance keeps older versions of the tables when nothing else is asked."""
