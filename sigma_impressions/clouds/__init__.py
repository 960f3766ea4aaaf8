"""Clouds that hold exports and tables: what every one offers, and a folder for each."""
