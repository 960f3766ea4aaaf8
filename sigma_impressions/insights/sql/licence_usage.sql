-- How many of those who may use Sigma do, by account type and kind (docs/insights.md).
-- Reads:      users_and_members, stated_members, what_is_known
-- Makes:      published.licence_usage
-- Parameter:  $as_of
CREATE TABLE published.licence_usage AS
WITH licensed AS (
    SELECT account_type, kind, user_email, tier, active_days_14d, active_days_30d, active_days_60d
    FROM users_and_members
    WHERE may_use_sigma
    UNION ALL BY NAME
    SELECT account_type, kind, user_email
    FROM stated_members
    WHERE may_use_sigma AND user_email IS NULL
)

SELECT
    $as_of::DATE AS as_of_date,
    l.account_type,
    l.kind,
    count(l.user_email) AS members,
    count(*) FILTER (WHERE l.active_days_14d > 0) AS active_14d,
    count(*) FILTER (WHERE l.active_days_30d > 0) AS active_30d,
    count(*) FILTER (WHERE l.active_days_60d > 0) AS active_60d,
    count(*) FILTER (WHERE l.tier = 'lapsed') AS lapsed,
    count(*) FILTER (WHERE l.tier = 'dormant') AS dormant,
    count(*) FILTER (WHERE l.tier = 'never') AS never,
    count(*) FILTER (WHERE l.tier = 'unknown') AS unknown,
    count(*) FILTER (WHERE l.user_email IS NULL) AS without_address,
    any_value(k.captured_since) AS captured_since
FROM licensed AS l
CROSS JOIN what_is_known AS k
GROUP BY l.account_type, l.kind
ORDER BY members DESC, l.account_type, l.kind
