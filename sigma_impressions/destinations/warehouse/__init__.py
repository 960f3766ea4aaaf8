"""The published tables in a warehouse, of every as-of date and event date, by way of dlt.

- `tables`: what goes, and which day its rows are of.
- `days`: what the warehouse should hold, each table and day with the fingerprint of what it is made from.
- `rows`: the rows of a table and some days, from the tables of the storage or a database built for the purpose.
- `loader`: dlt, and nothing else of the package knows it.
- `changes`: what others have changed in the warehouse.
- `held`: what the registry says that it holds.
- `export`: compares, sends what is missing, and registers it.
"""
