"""What people read: the DuckDB database that each run leaves behind."""
