-- Everybody who viewed anything in the 60 days or is a member with an address: how active, and since when.
-- Views of complete days are null where these are not known.
-- Reads:      user_activity (of the as-of date), people, ever_seen, user_tiers, daily_totals, what_is_known
-- Parameter:  $as_of
CREATE OR REPLACE TEMP TABLE users_and_members AS
WITH complete_days AS (
    SELECT
        t.user_email,
        sum(t.impressions) FILTER (WHERE t.event_date > k.last_complete_day - 14) AS now,
        sum(t.impressions) FILTER (WHERE t.event_date <= k.last_complete_day - 14) AS before
    FROM daily_totals AS t
    CROSS JOIN what_is_known AS k
    WHERE t.user_email IS NOT NULL AND t.event_date BETWEEN k.last_complete_day - 27 AND k.last_complete_day
    GROUP BY t.user_email
),

tiers AS (
    SELECT user_email, tier, impressions, impressions_of_all, rank, row_rank
    FROM user_tiers
    WHERE as_of_date = $as_of::DATE
)

SELECT
    user_email,
    CASE WHEN k.has_members THEN p.user_email IS NOT NULL END AS is_member,
    coalesce(p.may_use_sigma, FALSE) AS may_use_sigma,
    p.name,
    p.account_type,
    p.kind,
    p.teams,
    p.created_at,
    p.age_days,
    CASE
        WHEN t.tier IS NOT NULL THEN t.tier
        WHEN v.user_email IS NOT NULL THEN 'dormant'
        WHEN
            p.may_use_sigma
            AND NOT p.is_young
            AND (k.is_window_captured OR k.captured_since <= p.created_at::DATE)
            THEN 'never'
        ELSE 'unknown'
    END AS tier,
    t.rank,
    t.row_rank,
    t.impressions,
    t.impressions_of_all,
    coalesce(a.total_impressions_14d, 0) AS impressions_14d,
    coalesce(a.total_impressions_30d, 0) AS impressions_30d,
    coalesce(a.total_impressions_60d, 0) AS impressions_60d,
    coalesce(a.active_days_14d, 0) AS active_days_14d,
    coalesce(a.active_days_30d, 0) AS active_days_30d,
    coalesce(a.active_days_60d, 0) AS active_days_60d,
    coalesce(a.distinct_workbooks_60d, 0) AS distinct_workbooks_60d,
    v.first_impression_at,
    v.last_impression_at,
    CASE WHEN k.has_complete_days THEN coalesce(c.now, 0)::BIGINT END AS complete_impressions,
    CASE WHEN k.has_previous_days THEN coalesce(c.before, 0)::BIGINT END AS previous_impressions
FROM user_activity AS a
FULL JOIN people AS p USING (user_email)
LEFT JOIN ever_seen AS v USING (user_email)
LEFT JOIN tiers AS t USING (user_email)
LEFT JOIN complete_days AS c USING (user_email)
CROSS JOIN what_is_known AS k
