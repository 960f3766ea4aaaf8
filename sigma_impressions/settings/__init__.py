"""Settings of a source: declared once, read from texts, validated."""
