"""The usage report: one HTML file, made of nothing but the published database."""
