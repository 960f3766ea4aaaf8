"""The command `sigma-impressions`."""

from __future__ import annotations

import gc
import signal
import sys
from typing import Any

import click

from sigma_impressions.cli.common import Listing, fail, say, say_interrupted
from sigma_impressions.cli.init import init
from sigma_impressions.cli.results import digest, export, report
from sigma_impressions.cli.scanning import backfill, run
from sigma_impressions.cli.serving import demo, ui
from sigma_impressions.cli.source import check
from sigma_impressions.cli.status import status
from sigma_impressions.cli.upkeep import forget, maintain, pseudonymize
from sigma_impressions.errors import OperatorError
from sigma_impressions.interrupts import heed_no_more, interrupted_by, interruptible
from sigma_impressions.output import output_may_fail
from sigma_impressions.owner_only import for_owner_only
from sigma_impressions.project import project_folder
from sigma_impressions.waiting import waits_told

_OBJECTS_BETWEEN_COLLECTIONS = 400_000


class _Commands(Listing):
    """Commands whose errors that an operator can mend are printed, without a traceback; exit code 1.

    One that is interrupted says so in a sentence, and has the exit code that a shell gives to the signal.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with output_may_fail(), interruptible():
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Exception) as error:
            # A prompt takes Ctrl-C as a key, of which no signal comes.
            _end_if(interrupted_by() or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else None))
            if isinstance(error, OperatorError):
                fail(str(error))
            raise
        finally:
            heed_no_more()


def _end_if(came: signal.Signals | None) -> None:
    """End a command that a signal has interrupted: what has failed since may have failed of that."""
    if came is not None:
        heed_no_more()
        say_interrupted()
        sys.exit(128 + came)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="sigma-impressions")
def main() -> None:
    """Count who views which Sigma workbooks, from the audit log that Sigma exports to S3 or GCS.

    Settings come from environment variables, or from a file .env in the project's folder. The least that is needed:

    \b
      SIGMA_IMPRESSIONS_BUCKET_URI   where Sigma writes its exports, for example
                                     s3://acme-audit/sigma
      SIGMA_IMPRESSIONS_RESOURCES    the snapshot of workbooks and elements:
                                     Parquet, CSV or NDJSON; or, instead of it,
      SIGMA_CLIENT_ID, SIGMA_CLIENT_SECRET, SIGMA_BASE_URL
                                     to read them from the Sigma REST API

    \b
    Start with:   sigma-impressions init       ask for the settings, and test them
    Then:         sigma-impressions run        scan the last days, and publish
    History:      sigma-impressions backfill --from 2026-09-01 --to 2026-10-31
    Each morning: sigma-impressions status     is all well, and what is to do?
    Just looking: sigma-impressions demo       everything, on generated data
    """
    from sigma_impressions.settings.env_file import load_env_file

    # Also what Dagster writes into DAGSTER_HOME, and the processes that the demo starts.
    click.get_current_context().with_resource(for_owner_only())
    click.get_current_context().with_resource(waits_told(lambda line: say(line, "dim", stderr=True)))
    # The demo has settings of its own; init tells apart what the file and what the environment says.
    if click.get_current_context().invoked_subcommand not in (demo.name, init.name):
        load_env_file(project_folder())
    # Nearly all objects of a command are modules and definitions, which stay: looking for garbage among them as often
    # as usual takes 7 % of the time of a run that finds nothing new.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


# In the order of use, in which they are listed.
for _command in (init, check, run, backfill, status, report, digest, export, maintain, pseudonymize, forget, ui, demo):
    main.add_command(_command)
