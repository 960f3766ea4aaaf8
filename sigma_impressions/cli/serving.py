"""The commands that end in the Dagster UI: `demo`."""

from __future__ import annotations

import sys

import click

from sigma_impressions.project import project_folder


@click.command()
@click.option("--no-ui", is_flag=True, help="Stop after the metrics, without the Dagster UI.")
@click.option(
    "--port", type=int, default=3000, show_default=True, help="Port of the Dagster UI; the next free one is taken."
)
@click.option("--days", type=click.IntRange(1, 180), default=70, show_default=True, help="Days of exports to generate.")
@click.option("--sigma-api", is_flag=True, help="Discover workbooks and elements from a fake Sigma REST API.")
def demo(no_ui: bool, port: int, days: int, sigma_api: bool) -> None:
    """Show everything on generated data: an embedded S3 server, exports, metrics, the Dagster UI.

    Keeps its data in data/demo of the project's folder; started again, it takes what is there. Ctrl-C stops
    everything it started.
    """
    from sigma_impressions.demo.run import run_demo

    sys.exit(run_demo(project_folder(), days=days, ui_port=None if no_ui else port, sigma_api=sigma_api))
