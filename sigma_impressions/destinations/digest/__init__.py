"""The digest: what happened in a week, in ten lines."""
