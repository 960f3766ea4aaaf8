"""From the bytes of an export file to its rows."""
