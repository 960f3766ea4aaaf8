"""The settings of a source: what is accepted, how it is normalized, and what each refusal says."""

from __future__ import annotations

from datetime import date

import pytest
from dagster._utils.schedules import is_valid_cron_schedule
from hypothesis import given, settings
from hypothesis import strategies as st

from sigma_impressions.destinations.warehouse.tables import TABLES
from sigma_impressions.errors import SettingsError
from sigma_impressions.settings.declared import SETTINGS, Settings
from sigma_impressions.settings.parse import is_cron
from sigma_impressions.settings.read import environment_values, read_settings
from sigma_impressions.settings.uris import BucketUri, parse_bucket_uri
from sigma_impressions.windows import MAX_DAYS_BACK

URI = "s3://exports-bucket/sigma"
KEY_ID, SECRET, TOKEN = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "session-token-0123456789"
API = {"sigma_client_id": "client-id-0123", "sigma_client_secret": "client-secret-0123", "sigma_base_url": "aws-uk"}
PAIR = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET}


def read(**values: str | None) -> Settings:
    return read_settings({"bucket_uri": URI, **values})


def refusal(**values: str | None) -> tuple[str, str]:
    """The one problem of these settings: its environment variable and message."""
    with pytest.raises(SettingsError) as raised:
        read(**values)
    (problem,) = raised.value.problems
    assert str(raised.value) == f"{problem.environment_variable}: {problem.message}"
    return problem.environment_variable.removeprefix("SIGMA_IMPRESSIONS_"), problem.message


# --- bucket URI ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/exports", "s3://bucket/exports/"),
        ("  s3://bucket/exports/ \n", "s3://bucket/exports/"),
        ("S3://bucket/Exports", "s3://bucket/Exports/"),
        ("gs://bucket/exports", "gs://bucket/exports/"),
        ("GCS://bucket/exports", "gs://bucket/exports/"),
        ("s3://bucket", "s3://bucket/"),
        ("s3://bucket///", "s3://bucket/"),
        ("s3://bucket//a//b///", "s3://bucket/a//b/"),
        ("s3://bucket/with space/ü%20+=&", "s3://bucket/with space/ü%20+=&/"),
        ("s3://bucket/team@acme", "s3://bucket/team@acme/"),
        ("s3://bucket/csv", "s3://bucket/csv/"),
        ("s3://my.bucket.csv", "s3://my.bucket.csv/"),
        ("gs://under_score.example.com/a", "gs://under_score.example.com/a/"),
        ("gs://" + ".".join(["a" * 63] * 3) + "/x", "gs://" + ".".join(["a" * 63] * 3) + "/x/"),
    ],
)
def test_a_bucket_uri_is_normalized(text: str, expected: str) -> None:
    uri = parse_bucket_uri(text)
    assert str(uri) == expected
    assert parse_bucket_uri(str(uri)) == uri


def test_the_parts_of_a_bucket_uri() -> None:
    assert parse_bucket_uri("gcs://b-1/a/b") == BucketUri("gs", "b-1", "a/b/")
    assert parse_bucket_uri("s3://b-1") == BucketUri("s3", "b-1", "")


REFUSED_URIS = {
    "not set": (" ", "s3://my-bucket/sigma/exports"),
    "no scheme": ("my-bucket/exports", "must begin with s3:// or gs://"),
    "other scheme": ("https://bucket.s3.amazonaws.com/exports", "https:// is not supported"),
    "no bucket": ("s3:///exports", "names no bucket"),
    "invalid S3 bucket name": ("s3://My_Bucket/exports", "no valid S3 bucket name"),
    "invalid GCS bucket name": ("gs://My-Bucket/exports", "no valid Google Cloud Storage bucket name"),
    "query": ("s3://bucket/exports?versionId=1", "query"),
    "fragment": ("s3://bucket/exports#part", "fragment"),
    "credentials": (f"s3://{KEY_ID}:{SECRET}@bucket/exports", "credentials"),
    "wildcard": ("s3://bucket/exports/*", "wildcard"),
    "one file": ("s3://bucket/exports/audit.csv", "names one file"),
    "control character": ("s3://bucket/exports\nmore", "control character"),
}


@pytest.mark.parametrize(("text", "says"), REFUSED_URIS.values(), ids=REFUSED_URIS.keys())
def test_a_bucket_uri_is_refused_with_what_to_write_instead(text: str, says: str) -> None:
    setting, message = refusal(bucket_uri=text)
    assert setting == "BUCKET_URI"
    assert says in message
    assert "Write" in message


def test_each_refusal_of_a_bucket_uri_has_its_own_message() -> None:
    messages = {refusal(bucket_uri=text)[1] for text, _ in REFUSED_URIS.values()}
    assert len(messages) == len(REFUSED_URIS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("s3:/bucket/x", "must begin with"),
        ("abfs://container/x", "abfs:// is not supported"),
        ("s3://", "names no bucket"),
        ("gs://?x", "query"),
        ("s3://user@bucket/x", "credentials"),
        ("s3://bucket:9000/x", "port"),
        ("gs://bucket:443/x", "port"),
        ("s3://arn:aws:s3:us-west-2:123456789012:accesspoint/my-ap/exports", "ARN"),
        ("s3://arn:aws:s3:::acme-audit/sigma", "ARN"),
        ("s3://bucket/day=[0-9]", "wildcard"),
        ("s3://buck*/x", "wildcard"),
        ("s3://bucket/x?", "query"),
        ("s3://bucket/x.csv.GZ", "names one file"),
        ("gs://bucket/X.CSV", "names one file"),
        *[
            (f"s3://{name}/x", "no valid S3 bucket name")
            for name in ("ab", "a" * 64, "-abc", "abc-", ".abc", "a..b", "a_b", "10.0.0.1", "a b", "bücket", "a\\b")
        ],
        *[
            (f"gs://{name}/x", "no valid Google Cloud Storage bucket name")
            for name in ("ab", "a" * 64, "_abc", "abc_", "a..b", "goog-x", "my-google-x", "192.168.5.4", "A-b")
        ],
    ],
)
def test_more_bucket_uris_that_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_bucket_uri(text)


@pytest.mark.parametrize(
    "text",
    [
        f"s3://{KEY_ID}:{SECRET}@bucket/exports",
        f"s3://{KEY_ID}:{SECRET.replace('/', '')}@bucket/exports",
        f"s3://{SECRET}/x",
        f"https://{KEY_ID}:{SECRET}@host/x",
        f"s3://bucket/x?X-Amz-Signature={SECRET}",
        f"s3://bucket/x#{SECRET}",
        f"{KEY_ID}:{SECRET}",
        f"s3://bucket/{SECRET}.csv",
        f"s3://bucket/{SECRET}*",
    ],
)
@pytest.mark.parametrize("setting", ["bucket_uri", "storage", "resources"])
def test_a_refused_uri_is_not_repeated(text: str, setting: str) -> None:
    try:
        read(**{setting: text})
    except SettingsError as error:
        for part in (KEY_ID, *SECRET.split("/")):
            assert part not in str(error)
            assert part not in repr(error)


@given(
    st.builds(
        "{}{}://{}/{}{}".format,
        st.sampled_from(["", " ", "\t"]),
        st.sampled_from(["s3", "S3", "gs", "gcs"]),
        st.from_regex(r"[a-z0-9][a-z0-9-]{1,20}[a-z0-9]", fullmatch=True).filter(lambda name: "goog" not in name),
        st.text(),
        st.sampled_from(["", "/", "//", " "]),
    )
)
def test_normalizing_a_bucket_uri_twice_changes_nothing(text: str) -> None:
    try:
        once = parse_bucket_uri(text)
    except ValueError:
        return
    assert parse_bucket_uri(str(once)) == once
    assert str(parse_bucket_uri(str(once))) == str(once)
    assert not once.prefix.startswith("/")
    assert once.prefix == "" or (once.prefix.endswith("/") and not once.prefix.endswith("//"))


@given(st.text())
def test_any_text_gives_a_bucket_uri_or_a_refusal(text: str) -> None:
    try:
        parse_bucket_uri(text)
    except ValueError as error:
        assert str(error)


# --- the other settings -------------------------------------------------------------------------------------

WEBHOOK = "https://hooks.example.com/services/T000/B000/secret-part"


def test_defaults() -> None:
    source = read_settings({"bucket_uri": URI, "days_back": None, "storage": "  "})
    assert source == Settings(
        name="Sigma Impressions",
        bucket_uri=BucketUri("s3", "exports-bucket", "sigma/"),
        days_back=3,
        aws_access_key_id=None,
        aws_secret_access_key=None,
        aws_session_token=None,
        aws_region=None,
        storage="data",
        database_access="owner",
        cache="data/cache",
        cache_gigabytes=20,
        memory_gigabytes=1,
        spill=None,
        resources=None,
        resources_asset="own",
        members=None,
        pages=False,
        members_shrinkage_percent=20,
        sigma_client_id=None,
        sigma_client_secret=None,
        sigma_base_url=None,
        workbook_observations=False,
        datahub=None,
        datahub_token=None,
        datahub_platform_instance=None,
        warehouse=None,
        warehouse_dataset="sigma_impressions",
        warehouse_tables=tuple(TABLES),
        time_zone="UTC",
        excluded_users=(),
        event_types=(),
        anonymous_users="reject",
        file_date_pattern=None,
        header_aliases={},
        users="email",
        users_key=None,
        keep_detail_days=None,
        overlapping_exports="largest",
        start_date=date(2026, 1, 1),
        schedule="0 6 * * *",
        alert_webhook=None,
        digest_webhook=None,
        digest_schedule="0 7 * * 1",
        report_url=None,
        prometheus=None,
        rejected_warn_percent=0,
        rejected_error_percent=10,
        unmatched_warn_percent=0,
        export_max_age_days=None,
        resources_max_age_days=7,
        resources_shrinkage_percent=20,
        daily_change_percent=70,
        underused_below_users=2,
        power_user_days=15,
        regular_user_days=4,
    )


def test_every_value_is_read_and_trimmed() -> None:
    pattern = r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"
    source = read(
        **PAIR,
        name=" Acme ",
        days_back=" 6 ",
        aws_session_token=f" {TOKEN} ",
        aws_region="eu-central-1",
        storage="GCS://tables-bucket/sigma",
        resources="/srv/sigma/resources.parquet",
        time_zone="Europe/Berlin",
        excluded_users=" Bot@Example.com, ,*@bots.example.com,qa-?@x.io ",
        file_date_pattern=pattern,
        users="Pseudonym",
        users_key=" 0123456789abcdef ",
        keep_detail_days="365",
        overlapping_exports="sum",
        start_date="2025-12-31",
        schedule=" 30  3 * * 1-5 ",
        alert_webhook=WEBHOOK,
        digest_webhook=f" {WEBHOOK}/digest",
        digest_schedule="0  8 * * 5",
        report_url="https://usage.example.com/report.html?a=1&b=(2)",
    )
    assert (source.users, source.users_key, source.keep_detail_days) == ("pseudonym", "0123456789abcdef", 365)
    assert (source.schedule, source.alert_webhook) == ("30 3 * * 1-5", WEBHOOK)
    assert (source.digest_schedule, source.digest_webhook) == ("0 8 * * 5", f"{WEBHOOK}/digest")
    assert source.report_url == "https://usage.example.com/report.html?a=1&b=(2)"
    assert (source.name, source.days_back, source.aws_session_token) == ("Acme", 6, TOKEN)
    assert (source.storage, source.resources) == ("gs://tables-bucket/sigma", "/srv/sigma/resources.parquet")
    assert source.excluded_users == ("bot@example.com", "*@bots.example.com", "qa-?@x.io")
    assert (source.file_date_pattern, source.overlapping_exports) == (pattern, "sum")
    assert (source.time_zone, source.start_date) == ("Europe/Berlin", date(2025, 12, 31))


@pytest.mark.parametrize("text", ["0", "7", "60", "-1", "+3", "2.0", "three", "٣", "1e0", "9" * 5000])
def test_days_back_is_a_whole_number_up_to_the_maximum(text: str) -> None:
    setting, message = refusal(days_back=text)
    assert setting == "DAYS_BACK"
    assert f"The maximum is {MAX_DAYS_BACK}" in message
    assert len(message) < 300


DATED = r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"

REFUSED: list[tuple[str, dict[str, str], str, str]] = [
    ("secret missing", {"aws_access_key_id": KEY_ID}, "AWS_SECRET_ACCESS_KEY", "Set both keys, or neither"),
    ("key ID missing", {"aws_secret_access_key": SECRET}, "AWS_ACCESS_KEY_ID", "Set both keys, or neither"),
    ("token alone", {"aws_session_token": TOKEN}, "AWS_SESSION_TOKEN", "without the key pair"),
    ("keys for gs", {"bucket_uri": "gs://bucket/x", **PAIR}, "AWS_ACCESS_KEY_ID", "gs:// bucket"),
    ("key on two lines", {**PAIR, "aws_secret_access_key": "abcd\nefgh"}, "AWS_SECRET_ACCESS_KEY", "in one piece"),
    ("resources asset", {"resources_asset": "mine"}, "RESOURCES_ASSET", "must be own or external, not 'mine'"),
    ("observations", {"workbook_observations": "yes"}, "WORKBOOK_OBSERVATIONS", "must be on or off"),
    ("DataHub query", {"datahub": "https://x.io/?token=a"}, "DATAHUB", "neither a URL without credentials"),
    ("DataHub credentials", {"datahub": "https://a:b@x.io"}, "DATAHUB", "neither a URL without credentials"),
    ("DataHub file", {"datahub": "usage.parquet"}, "DATAHUB", "ends in .json"),
    ("DataHub bucket", {"datahub": "s3://bucket/usage.json"}, "DATAHUB", "local file"),
    ("API secret missing", {**API, "sigma_client_secret": ""}, "SIGMA_CLIENT_SECRET", "set all three, or none"),
    ("API URL missing", {**API, "sigma_base_url": ""}, "SIGMA_BASE_URL", "set all three, or none"),
    ("API region", {**API, "sigma_base_url": "aws-moon"}, "SIGMA_BASE_URL", "aws-us-west, aws-us-east"),
    ("API secret in the URL", {**API, "sigma_base_url": "https://id:s@api.x.io"}, "SIGMA_BASE_URL", "credentials"),
    ("region", {"aws_region": "eu central"}, "AWS_REGION", "eu-central-1"),
    ("storage scheme", {"storage": "https://x/y"}, "STORAGE", "a local path, s3://… or gs://…"),
    ("storage file URI", {"storage": "file:///srv/data"}, "STORAGE", "without file://"),
    ("storage credentials", {"storage": "s3://a:b@bucket/x"}, "STORAGE", "must not hold credentials"),
    ("storage bucket", {"storage": "s3:///x"}, "STORAGE", "names no bucket"),
    ("resources scheme", {"resources": "ftp://x/y.csv"}, "RESOURCES", "a local path, s3://… or gs://…"),
    ("resources query", {"resources": "s3://bucket/r.csv?x=y"}, "RESOURCES", "query"),
    ("name", {"name": "a\nb"}, "NAME", "on one line"),
    ("glob brackets", {"excluded_users": "a@x.io,b[12]@x.io"}, "EXCLUDED_USERS", "* and ? only"),
    ("semicolons", {"excluded_users": "a@x.io; b@x.io"}, "EXCLUDED_USERS", "with commas"),
    ("pattern", {"file_date_pattern": "(?P<year>"}, "FILE_DATE_PATTERN", "not a regular expression"),
    ("pattern groups", {"file_date_pattern": r"(?P<year>\d{4})"}, "FILE_DATE_PATTERN", "lacks the named groups month"),
    ("pattern group twice", {"file_date_pattern": DATED + "|" + DATED}, "FILE_DATE_PATTERN", "the group year twice"),
    ("pattern look-ahead", {"file_date_pattern": DATED + r"(?=T)"}, "FILE_DATE_PATTERN", "look-around"),
    ("pattern look-behind", {"file_date_pattern": r"(?<!x)" + DATED}, "FILE_DATE_PATTERN", "look-around"),
    ("pattern reference", {"file_date_pattern": r"(a)\1" + DATED}, "FILE_DATE_PATTERN", "a back reference"),
    ("pattern name", {"file_date_pattern": DATED + "(?P=year)"}, "FILE_DATE_PATTERN", "a back reference"),
    ("pattern end", {"file_date_pattern": DATED + r"\Z"}, "FILE_DATE_PATTERN", r"Write \z or $"),
    ("pattern atomic", {"file_date_pattern": DATED + "(?>a)"}, "FILE_DATE_PATTERN", "an atomic group"),
    ("pattern possessive", {"file_date_pattern": DATED + "a++"}, "FILE_DATE_PATTERN", "a possessive quantifier"),
    ("pattern possessive range", {"file_date_pattern": DATED + "a{1,2}+"}, "FILE_DATE_PATTERN", "Leave out its last +"),
    ("pattern conditional", {"file_date_pattern": DATED + "(a)?(?(4)b|c)"}, "FILE_DATE_PATTERN", "a conditional"),
    ("pattern verbose", {"file_date_pattern": "(?x)" + DATED}, "FILE_DATE_PATTERN", "other than i, m and s"),
    ("pattern range", {"file_date_pattern": DATED + "a{,3}"}, "FILE_DATE_PATTERN", "Write {0,n}"),
    ("pattern size", {"file_date_pattern": "a{99999999999999}"}, "FILE_DATE_PATTERN", "too large"),
    ("pseudonym without a key", {"users": "Pseudonym"}, "USERS_KEY", "is not set, but"),
    ("users", {"users": "name"}, "USERS", "must be email or pseudonym"),
    ("users key", {"users": "pseudonym", "users_key": "short"}, "USERS_KEY", "16 characters"),
    ("users key on two lines", {"users_key": "abcd\nefgh" * 3}, "USERS_KEY", "in one piece"),
    ("users key of one character", {"users_key": "a" * 16}, "USERS_KEY", "8 different characters"),
    ("users key of seven characters", {"users_key": "password" * 5}, "USERS_KEY", "openssl rand -hex 32"),
    ("few days of detail", {"keep_detail_days": "34"}, "KEEP_DETAIL_DAYS", "35 or more, not '34'"),
    ("days of detail", {"keep_detail_days": "forever"}, "KEEP_DETAIL_DAYS", "Leave it unset"),
    ("overlapping exports", {"overlapping_exports": "max"}, "OVERLAPPING_EXPORTS", "largest or sum"),
    ("start date", {"start_date": "1.2.2026"}, "START_DATE", "not an ISO date"),
    ("compact start date", {"start_date": "20260101"}, "START_DATE", "not an ISO date"),
    ("impossible start date", {"start_date": "2026-02-30"}, "START_DATE", "not a day of the calendar"),
    ("schedule", {"schedule": "every day"}, "SCHEDULE", "five fields"),
    ("schedule of six fields", {"schedule": "0 0 6 * * *"}, "SCHEDULE", "0 6 * * *"),
    ("webhook", {"alert_webhook": "hooks.example.com/x"}, "ALERT_WEBHOOK", "beginning with https://"),
    ("webhook user", {"alert_webhook": "https://me:pw@hooks.example.com/x"}, "ALERT_WEBHOOK", "not the URL"),
    ("webhook scheme", {"alert_webhook": "file:///etc/passwd"}, "ALERT_WEBHOOK", "not the URL"),
    ("webhook in the clear", {"alert_webhook": "http://hooks.example.com/x"}, "ALERT_WEBHOOK", "must begin with https"),
    ("DataHub in the clear", {"datahub": "http://gms:8080"}, "DATAHUB", "addresses and the token would be sent in"),
    ("DataHub like localhost", {"datahub": "http://localhost.x.io"}, "DATAHUB", "must begin with https"),
    ("webhook like loopback", {"alert_webhook": "HTTP://127.0.0.1.x.io/"}, "ALERT_WEBHOOK", "must begin with https"),
    ("webhook that is no URL", {"alert_webhook": "https://[::1/x"}, "ALERT_WEBHOOK", "is not a URL"),
    ("dataset with a dash", {"warehouse_dataset": "my-usage"}, "WAREHOUSE_DATASET", "must be a name of small letters"),
    # Which dlt takes for one with a single underscore.
    ("dataset of two names", {"warehouse_dataset": "my__usage"}, "WAREHOUSE_DATASET", "single underscores"),
    ("dataset between", {"warehouse_dataset": "usage_staging"}, "WAREHOUSE_DATASET", "on their way to usage would be"),
    ("digest in the clear", {"digest_webhook": "http://hooks.example.com"}, "DIGEST_WEBHOOK", "must begin with https"),
    ("digest schedule", {"digest_schedule": "weekly"}, "DIGEST_SCHEDULE", "five fields"),
    ("prometheus file", {"prometheus": "/srv/metrics.txt"}, "PROMETHEUS", "is not a local file that ends in .prom"),
    ("prometheus URL", {"prometheus": "s3://b/metrics.prom"}, "PROMETHEUS", "is not a local file that ends in .prom"),
    ("webhook space", {"alert_webhook": "https://hooks.example.com/x y"}, "ALERT_WEBHOOK", "white space"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "setting", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_setting_is_refused_with_what_to_write_instead(values: dict[str, str], setting: str, says: str) -> None:
    found, message = refusal(**values)
    assert found == setting
    assert says in message


@pytest.mark.parametrize(
    "zone",
    ["localtime", "/etc/localtime", "../UTC", "Europe", "Mars/Olympus", "+02:00", "UTC+1", "posixrules", "a\0b", "é"],
)
def test_a_time_zone_must_be_known_to_everything_that_uses_it(zone: str) -> None:
    setting, message = refusal(time_zone=zone)
    assert setting == "TIME_ZONE"
    assert "Europe/Berlin" in message


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings({"days_back": "9", "time_zone": "Nowhere", "start_date": "soon"})
    assert [p.environment_variable for p in raised.value.problems] == [
        "SIGMA_IMPRESSIONS_BUCKET_URI",
        "SIGMA_IMPRESSIONS_DAYS_BACK",
        "SIGMA_IMPRESSIONS_TIME_ZONE",
        "SIGMA_IMPRESSIONS_START_DATE",
    ]
    assert len(str(raised.value).splitlines()) == 4


def test_a_name_that_is_no_setting_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="no such settings: bucket"):
        read_settings({"bucket": URI})


@pytest.mark.parametrize(
    "text",
    [
        *("usage.example.com", "ftp://x.example/r", "javascript:alert(1)", "https://", "https:/x"),
        *("https://me:pw@x.example/", "https://x.example/a|b", "https://x.example/>x", "https://x.example/a b"),
        "https://x.example/\x1b[2J",
    ],
)
def test_the_link_to_the_report_is_an_address(text: str) -> None:
    setting, message = refusal(report_url=text)
    assert setting == "REPORT_URL"
    assert message.startswith("is not the address of a page.")


def test_a_secret_that_was_pasted_into_another_variable_is_not_repeated() -> None:
    token = TOKEN * 5
    for secrets in ({**PAIR, "days_back": SECRET}, {**PAIR, "aws_session_token": token, "time_zone": token}):
        _, message = refusal(**secrets)
        assert SECRET not in message
        assert TOKEN not in message


def test_secrets_are_shown_nowhere() -> None:
    webhooks = {"alert_webhook": WEBHOOK, "digest_webhook": f"{WEBHOOK}-of-the-digest"}
    more = {"users_key": "0123456789abcdef", "datahub_token": "datahub-token-0123", **webhooks}
    source = read(**PAIR, **API, aws_session_token=TOKEN, **more)
    shown = repr(source) + str(source) + repr(source.describe())
    for secret in (KEY_ID, SECRET, TOKEN, "client-id-0123", "client-secret-0123", *more.values()):
        assert secret not in shown
    described = source.describe()
    assert list(described) == [setting.name for setting in SETTINGS]
    assert {described[setting.name] for setting in SETTINGS if setting.secret} == {"set"}


def test_the_api_is_named_by_region_or_url() -> None:
    assert read(**API).sigma_base_url == "https://api.uk.aws.sigmacomputing.com"
    assert read(**API | {"sigma_base_url": "http://localhost:99/v2"}).sigma_base_url == "http://localhost:99"


def test_what_is_shown_of_a_source() -> None:
    described = read(excluded_users="a@x.io,b@x.io").describe()
    assert described["bucket_uri"] == "s3://exports-bucket/sigma/"
    assert described["excluded_users"] == "a@x.io, b@x.io"
    assert described["days_back"] == "3"
    assert described["rejected_warn_percent"] == "0"
    assert described["aws_access_key_id"] == described["resources"] == "not set"


def test_settings_come_from_their_environment_variables() -> None:
    values = environment_values({"SIGMA_IMPRESSIONS_BUCKET_URI": URI, "SIGMA_IMPRESSIONS_DAYS_BACK": "2", "HOME": "/"})
    assert set(values) == {setting.name for setting in SETTINGS}
    assert read_settings(values).days_back == 2


def test_settings_are_described_for_a_form() -> None:
    assert len({setting.variable for setting in SETTINGS}) == len(SETTINGS) == 55
    assert all(setting.help for setting in SETTINGS)
    assert all(setting.default is None for setting in SETTINGS if setting.secret)


def test_header_aliases_are_pairs_of_column_and_header_name() -> None:
    source = read_settings(
        {"bucket_uri": URI} | {"header_aliases": " user_email = Login , user_email=Konto,request_time=Opened At,"}
    )
    assert source.header_aliases == {"user_email": ("Login", "Konto"), "request_time": ("Opened At",)}
    assert source.describe()["header_aliases"] == "user_email=Login, user_email=Konto, request_time=Opened At"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Login", "'Login' is not a pair"),
        ("user_email=", "'user_email=' is not a pair"),
        ("mail=Login", "no column is called 'mail'"),
        ("user_email=Timestamp", "already stands for request_time"),
        ("user_email=---", "holds no ASCII letter or digit"),
    ],
)
def test_refused_header_aliases(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings({"bucket_uri": URI} | {"header_aliases": text})


def test_a_power_user_is_active_on_more_days_than_a_regular_one() -> None:
    assert read(power_user_days="5", regular_user_days="4").power_user_days == 5
    for days in ({"power_user_days": "4"}, {"power_user_days": "8", "regular_user_days": "9"}):
        variable, message = refusal(**days)
        assert variable == "POWER_USER_DAYS"
        assert "must be more days than SIGMA_IMPRESSIONS_REGULAR_USER_DAYS" in message


FIELDS = (
    *(
        "*",
        "0",
        "5",
        "00",
        "59",
        "60",
        "24",
        "7",
        "6",
        "31",
        "30",
        "2",
        "*/5",
        "*/0",
        "1-5",
        "5-1",
        "1-5/2",
        "1,3",
        "5/2",
    ),
    *("?", "L", "MON", "-1", "1-", ",", "1,", "@daily", "*/99", "1-5,*/2", "a"),
)


@given(st.lists(st.sampled_from(FIELDS), min_size=4, max_size=6).map(" ".join) | st.text(max_size=20))
@settings(max_examples=500)
def test_a_schedule_that_is_accepted_is_one_for_dagster(text: str) -> None:
    if is_cron(text):
        assert is_valid_cron_schedule(text)


@pytest.mark.parametrize("text", ["0 6 * * *", "*/15 * * * *", "30 3,15 1-7/2 * 1-5", "0 0 29,30 2 *"])
def test_a_schedule(text: str) -> None:
    assert read(schedule=text).schedule == text


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("rejected_warn_percent", {"0": 0, "100": 100}, ("101", "-1", "1.5", "5%")),
        ("daily_change_percent", {"1": 1, "250": 250}, ("0", "-10", "a lot")),
        ("resources_max_age_days", {"1": 1, "30": 30}, ("0", "-1", "1000", "a week")),
        ("underused_below_users", {"1": 1, "25": 25}, ("0", "-1", "2.5", "a few")),
        ("power_user_days", {"5": 5, "30": 30}, ("0", "-1", "31", "daily")),
        ("regular_user_days", {"1": 1, "9": 9}, ("0", "-1", "31", "weekly")),
    ],
)
def test_thresholds_are_whole_numbers(name: str, good: dict[str, int], bad: tuple[str, ...]) -> None:
    assert {text: getattr(read(**{name: text}), name) for text in good} == good
    for text in bad:
        variable, message = refusal(**{name: text})
        assert variable == name.upper()
        assert "must be a whole number" in message


@pytest.mark.parametrize("host", ["localhost", "LocalHost:9000", "127.0.0.1:9000", "127.8.9.1", "[::1]:9000"])
def test_this_machine_may_be_spoken_to_in_the_clear(host: str) -> None:
    source = read(alert_webhook=f"http://{host}/x", datahub=f"http://{host}")
    assert (source.alert_webhook, source.datahub) == (f"http://{host}/x", f"http://{host}")
