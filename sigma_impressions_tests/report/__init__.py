"""Tests of the usage report."""
