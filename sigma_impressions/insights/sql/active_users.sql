-- How active each user of the 60 days is (docs/insights.md).
-- Reads:      user_tiers, user_activity (of the as-of date), first_views
-- Makes:      published.active_users
-- Parameters: $as_of, $first_event_date
CREATE TABLE published.active_users AS
SELECT
    t.as_of_date,
    t.user_email,
    t.tier,
    -- Unless something was captured before the 14 days, nobody can be told from those who were there before.
    f.first_impression_at::DATE > $as_of::DATE - 14 AND $first_event_date::DATE <= $as_of::DATE - 14 AS is_new,
    a.total_impressions_60d AS impressions_60d,
    a.total_impressions_14d AS impressions_14d,
    a.active_days_60d,
    a.active_days_30d,
    a.active_days_14d,
    f.first_impression_at,
    a.last_impression_at,
    a.distinct_workbooks_60d,
    t.rank::INTEGER AS rank,
    t.impressions::DOUBLE / t.impressions_of_all AS share_of_impressions,
    sum(t.impressions) OVER (ORDER BY t.row_rank)::DOUBLE / t.impressions_of_all AS cumulative_share
FROM user_tiers AS t
INNER JOIN user_activity AS a USING (as_of_date, user_email)
INNER JOIN first_views AS f USING (user_email)
WHERE t.as_of_date = $as_of::DATE
ORDER BY t.row_rank
