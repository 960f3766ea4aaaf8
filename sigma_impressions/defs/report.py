"""The asset `usage_report`: the page on which everybody sees what is popular, what is underused and who is active."""

import dagster as dg

from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.metadata import documentation
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.publish import DATABASE_ASSET
from sigma_impressions.defs.stored import tables_of
from sigma_impressions.report.preview import preview
from sigma_impressions.report.read import read_headlines
from sigma_impressions.report.write import REPORT_NAME, published_pair, write_report

REPORT_ASSET = "usage_report"


def build_report_assets(names: Names = PLAIN_NAMES) -> list[dg.AssetsDefinition]:
    """The asset `usage_report`, which follows every publication."""

    @dg.asset(
        key=names.key(REPORT_ASSET),
        required_resource_keys={names.resource},
        deps=[names.key(DATABASE_ASSET)],
        metadata=documentation("report.md"),
        kinds={"html"},
        description=(
            f"`{REPORT_NAME}` beside the published database: popular, rising and underused workbooks, people, and the "
            "quality of the data on one page, which needs no network and may be mailed. Published with each new "
            "database, and made good here if it is not that of the database. If it fails: the page before it stays, "
            "the metrics are complete all the same; follow the message and materialize it again."
        ),
    )
    def usage_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            settings = names.settings_of(context.resources)
            storage = tables_of(context, settings).storage
            written = write_report(storage, settings.name)
            with published_pair(storage) as pair:
                headlines, size = read_headlines(pair.database), pair.report.stat().st_size
        where = storage.uri(REPORT_NAME)
        log_of(context).info(f"{where}: as of {written.as_of}, {'written' if written.is_new else 'already up to date'}")
        return dg.MaterializeResult(
            metadata={
                # Not as a URL: a browser opens no file:// link on a page that came over http.
                "report": dg.MetadataValue.path(where),
                "preview": dg.MetadataValue.md(preview(headlines)),
                "as_of": str(headlines.publication.as_of),
                "is_new": written.is_new,
                "bytes": size,
            }
        )

    return [usage_report]
