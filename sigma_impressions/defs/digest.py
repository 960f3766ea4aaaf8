"""The job `digest`, and the schedule `weekly_digest` that runs it: what the last week was like, posted to a chat."""

from datetime import UTC, datetime

import dagster as dg

from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.runs import TRIGGER_TAG
from sigma_impressions.webhook import DIGEST, post
from sigma_impressions.wiring import storage

DIGEST_JOB_NAME = "digest"
DIGEST_SCHEDULE_NAME = "weekly_digest"


def build_digest_job(names: Names = PLAIN_NAMES) -> dg.JobDefinition:
    """The job `digest`; a webhook that does not take the digest makes the run fail, and the log has it all the same."""

    @dg.op(
        name=names.name("post_digest"),
        required_resource_keys={names.resource},
        description="Reads what is published, and posts the digest of the last week to the webhook, if one is set.",
    )
    def post_digest(context: dg.OpExecutionContext) -> dg.Output[None]:
        # Here, as a tick of the sensor, which is another process, has no need of all that reads what is published.
        from sigma_impressions.destinations.digest.text import digest_text
        from sigma_impressions.destinations.digest.week import read_digest
        from sigma_impressions.publish.database import published_database

        log = log_of(context)
        with clear_failures():
            settings = names.settings_of(context.resources)
            found = read_digest(published_database(storage(settings)), datetime.now(UTC).date())
            text = digest_text(found, settings.name, settings.report_url)
            for line in text.plain():
                log.info(line)
            if settings.digest_webhook is None:
                log.warning(f"{DIGEST.setting} is not set, so the digest was posted nowhere. It is in this log.")
            else:
                post(settings.digest_webhook, DIGEST, text.mrkdwn())
                log.info(f"Posted to the {DIGEST.name}.")
        is_posted = dg.MetadataValue.bool(settings.digest_webhook is not None)
        return dg.Output(None, metadata={"digest": dg.MetadataValue.md(text.markdown()), "posted": is_posted})

    @dg.job(
        name=names.name(DIGEST_JOB_NAME),
        # Its one step needs no process of its own.
        executor_def=dg.in_process_executor,
        description=(
            "The last week in ten lines, as `sigma-impressions digest` prints it: posted to "
            f"{DIGEST.setting}, and shown in the run's log and metadata. Made of what is published; scans nothing."
        ),
    )
    def digest() -> None:
        post_digest()

    return digest


def build_digest_schedule(job: dg.JobDefinition, cron: str, names: Names = PLAIN_NAMES) -> dg.ScheduleDefinition:
    """The schedule `weekly_digest`: the job, at the time of the cron expression."""
    return dg.ScheduleDefinition(
        name=names.name(DIGEST_SCHEDULE_NAME),
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        tags={TRIGGER_TAG: "schedule"},
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=(
            "Posts the digest of the last week. The time (UTC) is SIGMA_IMPRESSIONS_DIGEST_SCHEDULE; let it be later "
            "than the scan of that day. Scans nothing."
        ),
    )
