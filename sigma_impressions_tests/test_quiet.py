"""No library logs a secret or an address, also where everything is logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from sigma_impressions.clouds.s3 import S3
from sigma_impressions.errors import NotPosted, OperatorError
from sigma_impressions.quiet import _TALKATIVE, without_debug_lines
from sigma_impressions.upstream.sigma_api import Credentials, SigmaApi
from sigma_impressions.webhook import send_alerts
from sigma_impressions_tests.clouds.http_stub import Answer, http_stub

KEY_ID, SECRET, TOKEN = "AKIAKEYIDFORTHISTEST", "secret-key-of-this-test", "session-token-of-this-test"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that is logged; the libraries have no levels of their own yet."""
    levels = {name: logging.getLogger(name).level for name in _TALKATIVE}
    for name in levels:
        logging.getLogger(name).setLevel(logging.NOTSET)
    caplog.set_level(logging.DEBUG)
    yield caplog
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_an_object_store(logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with http_stub(lambda _request: Answer(403)) as stub:
        logging.getLogger("of.the.test").debug("This is logged.")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", stub.url)
        store = S3(KEY_ID, SECRET, TOKEN, "us-east-1").objects("bucket")
        with pytest.raises(OperatorError):
            list(store.list("prefix/"))
        assert TOKEN in str(stub.requests[0].headers)
    assert "This is logged." in logged.text
    assert [secret for secret in (KEY_ID, SECRET, TOKEN) if secret in logged.text] == []


def test_a_logger_below_with_a_level_of_its_own(logged: pytest.LogCaptureFixture) -> None:
    below, other = logging.getLogger("botocore.auth"), logging.getLogger("botocores")
    below.setLevel(logging.DEBUG)
    other.setLevel(logging.DEBUG)
    without_debug_lines()
    assert not below.isEnabledFor(logging.INFO)
    assert other.isEnabledFor(logging.DEBUG)


def test_a_webhook(logged: pytest.LogCaptureFixture) -> None:
    with http_stub(lambda _request: Answer(500)) as stub, pytest.raises(NotPosted):
        send_alerts(f"{stub.url}/services/{SECRET}", "the test", ["an alert"])
    assert SECRET not in logged.text


def test_the_api_of_sigma(logged: pytest.LogCaptureFixture) -> None:
    async def read() -> None:
        async with SigmaApi(Credentials(stub.url, "client", SECRET)) as api:
            await api.get("/v2/members")

    with http_stub(lambda _request: Answer(401)) as stub, pytest.raises(OperatorError):
        asyncio.run(read())
    assert SECRET not in logged.text


def test_what_an_operator_has_silenced_stays_silent(logged: pytest.LogCaptureFixture) -> None:
    logging.getLogger("botocore").setLevel(logging.ERROR)
    S3()
    assert logging.getLogger("botocore").level == logging.ERROR
    assert logging.getLogger("urllib3").level == logging.WARNING
