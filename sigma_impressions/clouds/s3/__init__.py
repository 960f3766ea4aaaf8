"""Amazon S3, and stores that speak as it does."""
