"""Dagster: assets, checks, partitions, jobs and resources. Thin, without logic of the pipeline."""
