"""The commands that end in the Dagster UI: `ui` and `demo`."""

from __future__ import annotations

import sys

import click

from sigma_impressions.cli.common import say
from sigma_impressions.dagster_ui import DEFAULT_PORT, HOST, free_port, landing_page, serve
from sigma_impressions.project import WORKSPACE, project_folder

_PORT = click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port of the Dagster UI; the next free one is taken.",
)


@click.command(context_settings={"ignore_unknown_options": True})
@_PORT
@click.option("--host", default=HOST, show_default=True, help="Address to listen on. Dagster's UI has no login.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def ui(port: int, host: str, options: tuple[str, ...]) -> None:
    """Open the Dagster UI on your own settings, with the daemon for sensors and schedules.

    Ctrl-C stops both. Settings are those of the other commands: the environment wins over .env. Code locations are
    those of the project's workspace.yaml, if it has one. Further OPTIONS are those of `dagster dev`.
    """
    project = project_folder()
    workspace, port = project / WORKSPACE, free_port(port, host)
    say("Starting the Dagster UI ...")
    address = f"Dagster UI: {landing_page(host, port)}  (Ctrl-C stops it)"
    try:
        sys.exit(
            serve(
                project,
                port,
                host,
                answers=lambda: say(address, "bold"),
                workspace=workspace if workspace.is_file() else None,
                options=options,
            )
        )
    except KeyboardInterrupt:
        say("Stopped.")


@click.command()
@click.option("--no-ui", is_flag=True, help="Stop after the metrics, without the Dagster UI.")
@_PORT
@click.option("--days", type=click.IntRange(1, 180), default=70, show_default=True, help="Days of exports to generate.")
@click.option("--sigma-api", is_flag=True, help="Discover workbooks and elements from a fake Sigma REST API.")
def demo(no_ui: bool, port: int, days: int, sigma_api: bool) -> None:
    """Show everything on generated data: an embedded S3 server, exports, metrics, the Dagster UI.

    Keeps its data in data/demo of the project's folder; started again, it takes what is there. Ctrl-C stops
    everything it started. Exit code 0 or 1; 130 if it is interrupted before the UI is up (143 by SIGTERM), 0 then.
    """
    from sigma_impressions.demo.run import run_demo

    sys.exit(run_demo(project_folder(), days=days, ui_port=None if no_ui else port, sigma_api=sigma_api))
