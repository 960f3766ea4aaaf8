"""Alerts to a webhook: what is posted, and what a webhook that does not take it means."""

from __future__ import annotations

from collections.abc import Sequence

from sigma_impressions.errors import AlertsNotSent
from sigma_impressions.quiet import without_debug_lines
from sigma_impressions.texts import mrkdwn
from sigma_impressions.waiting import waiting_for

_TIMEOUT = (10, 20)
"""Seconds to connect, and to wait for the answer."""

_MOST_CHARACTERS = 500
_MOST_ALERTS = 20


def send_alerts(webhook: str, source: str, alerts: Sequence[str]) -> None:
    """Post the alerts of a source as one message, as Slack's incoming webhooks take it: `{"text": …}`.

    Raises `AlertsNotSent`. Then nothing was taken, as far as is known.
    """
    # Here, because it takes a while to import, and most code locations send no alerts.
    import requests

    without_debug_lines()
    lines = [f"*{mrkdwn(source)}*", *(f"• {mrkdwn(alert, _MOST_CHARACTERS)}" for alert in alerts[:_MOST_ALERTS])]
    if len(alerts) > _MOST_ALERTS:
        lines.append(f"… and {len(alerts) - _MOST_ALERTS} more; see the Dagster UI.")
    try:
        with waiting_for("the alert webhook: posting alerts"):
            answer = requests.post(webhook, json={"text": "\n".join(lines)}, timeout=_TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        # The error's text holds the URL, which is a secret.
        raise AlertsNotSent(
            f"The alert webhook could not be reached ({type(error).__name__}). Check the network and "
            "SIGMA_IMPRESSIONS_ALERT_WEBHOOK; the alerts are sent again at the next tick"
        ) from None
    if not 200 <= answer.status_code < 300:
        raise AlertsNotSent(
            f"The alert webhook answered HTTP {answer.status_code}. Check SIGMA_IMPRESSIONS_ALERT_WEBHOOK, and "
            "whether the webhook still exists; the alerts are sent again at the next tick"
        )
