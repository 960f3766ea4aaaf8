"""Which delimiters a table of text may have: by a line that declares one, else by its header line."""

from __future__ import annotations

import re

DELIMITERS = ",;\t|"
"""The delimiters that are recognised; the first wins a tie."""

DECLARED_DELIMITER = re.compile(r'[ ]*"?sep=([,;\t|])"?[ ]*(?=[\r\n]|\Z)', re.IGNORECASE)
"""The line with which programs tell each other the delimiter of what follows."""


def likely_delimiters(line: str) -> list[str]:
    """The delimiters that a header line may have, the likeliest first: never none.

    The likeliest is the one that stands most often outside quotes; on a tie comma, then the others in order.
    """
    outside_quotes = re.sub(r'"[^"]*"', "", line)
    ordered = sorted(DELIMITERS, key=outside_quotes.count, reverse=True)  # equals stay in order
    # A line without a delimiter is one cell, which cannot be all of the required columns.
    return [ordered[0], *(delimiter for delimiter in ordered[1:] if delimiter in line)]
