"""The digest: what happened in a week, in ten lines, and what each owner should know of the own workbooks."""
