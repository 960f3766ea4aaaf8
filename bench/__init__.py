"""Benchmarks: measured figures with the commands that give them."""
