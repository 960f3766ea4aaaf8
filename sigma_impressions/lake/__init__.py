"""Delta Lake tables: what they hold, where they lie, how they are read, queried and committed."""
