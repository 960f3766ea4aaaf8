"""A code location with dagster-sigma's assets: the workbooks of the organization whose API the settings name."""

import os

import dagster as dg
from dagster_sigma import SigmaOrganization, load_sigma_asset_specs

from sigma_impressions.upstream.regions import parse_base_url

organization = SigmaOrganization(
    base_url=parse_base_url(os.environ["SIGMA_BASE_URL"]),
    client_id=dg.EnvVar("SIGMA_CLIENT_ID"),
    client_secret=dg.EnvVar("SIGMA_CLIENT_SECRET"),
)
defs = dg.Definitions(
    assets=load_sigma_asset_specs(organization, fetch_column_data=False, fetch_lineage_data=False),
    resources={"sigma": organization},
)
