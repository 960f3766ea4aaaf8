"""Sigma Impressions."""
