"""The dbt project of `examples/dbt`: its sources as the docs describe them, and dbt itself against a PostgreSQL."""
