"""Messages to Slack-compatible webhooks: what is posted, and what a webhook that does not take it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sigma_impressions.errors import NotPosted
from sigma_impressions.quiet import without_debug_lines
from sigma_impressions.texts import mrkdwn
from sigma_impressions.waiting import waiting_for

_TIMEOUT = (10, 20)
"""Seconds to connect, and to wait for the answer."""

_MOST_CHARACTERS = 500
_MOST_ALERTS = 20


@dataclass(frozen=True)
class Purpose:
    """What a webhook is for: its name in messages, what it gets, its setting.

    `afterwards` says what becomes of what it does not take.
    """

    name: str
    posts: str
    setting: str
    afterwards: str


ALERTS = Purpose(
    "alert webhook", "alerts", "SIGMA_IMPRESSIONS_ALERT_WEBHOOK", "the alerts are sent again at the next tick"
)
DIGEST = Purpose(
    "digest webhook",
    "the digest",
    "SIGMA_IMPRESSIONS_DIGEST_WEBHOOK",
    "to post the digest then, run sigma-impressions digest --send",
)


def send_alerts(webhook: str, source: str, alerts: Sequence[str]) -> None:
    """Post the alerts of a source as one message. Raises `NotPosted`."""
    lines = [f"*{mrkdwn(source)}*", *(f"• {mrkdwn(alert, _MOST_CHARACTERS)}" for alert in alerts[:_MOST_ALERTS])]
    if len(alerts) > _MOST_ALERTS:
        lines.append(f"… and {len(alerts) - _MOST_ALERTS} more; see the Dagster UI.")
    post(webhook, ALERTS, "\n".join(lines))


def post(webhook: str, purpose: Purpose, text: str) -> None:
    """Post a text of Slack's "mrkdwn" as one message, as its incoming webhooks take it: `{"text": …}`.

    Raises `NotPosted`. Then nothing was taken, as far as is known.
    """
    # Here, because it takes a while to import, and most code locations post nothing.
    import requests

    without_debug_lines()
    try:
        with waiting_for(f"the {purpose.name}: posting {purpose.posts}"):
            answer = requests.post(webhook, json={"text": text}, timeout=_TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        # The error's text holds the URL, which is a secret.
        raise NotPosted(
            f"The {purpose.name} could not be reached ({type(error).__name__}). Check the network and "
            f"{purpose.setting}; {purpose.afterwards}"
        ) from None
    if not 200 <= answer.status_code < 300:
        raise NotPosted(
            f"The {purpose.name} answered HTTP {answer.status_code}. Check {purpose.setting}, and "
            f"whether the webhook still exists; {purpose.afterwards}"
        )
