"""The rules of the insight tables: what is called popular, underused and active (docs/insights.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOVED_SHARE: Final = 0.5
"""Change of the impressions of 14 days against the 14 days before, from which a resource rises or falls."""

MOVED_IMPRESSIONS: Final = 5
"""By how many impressions they must differ besides: of a few views, one more or less is a large share."""

YOUNG_DAYS: Final = 14
"""A resource that is younger is not called underused."""

TOP_SHARE: Final = 0.1
"""Share of the users whose share of the impressions tells how concentrated the usage is."""

ACTIVITY_DAYS: Final = 30
"""Days up to the as-of date whose active days decide on the tier of a user."""

POWER_USER_DAYS: Final = 15
REGULAR_USER_DAYS: Final = 4
"""Active days, of the last 30, from which users are power users and regular ones if nothing else is set."""

UNDERUSED_BELOW_USERS: Final = 2
"""Distinct users of 60 days below which a resource is underused if nothing else is set."""


@dataclass(frozen=True)
class InsightRules:
    """The rules that are settings.

    `underused_below_users`: distinct users of 60 days below which a resource is underused, 1 or more.
    `power_user_days` and `regular_user_days`: active days, of the last 30, from which a user is of the tier.
    """

    underused_below_users: int = UNDERUSED_BELOW_USERS
    power_user_days: int = POWER_USER_DAYS
    regular_user_days: int = REGULAR_USER_DAYS


DEFAULT_RULES: Final = InsightRules()
