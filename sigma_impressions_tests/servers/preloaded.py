"""What runs import sooner or later, for processes that are forked when all of it is there."""

import boto3  # noqa: F401
import dagster_aws.s3  # noqa: F401
import duckdb  # noqa: F401
import pyarrow.parquet  # noqa: F401

import sigma_impressions.cli
import sigma_impressions.console
import sigma_impressions.defs.sigma_source
import sigma_impressions.exports.capture
import sigma_impressions.publish.settle
import sigma_impressions.scan
import sigma_impressions.upstream.snapshot_file  # noqa: F401
