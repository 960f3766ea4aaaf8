-- The days of a week and those of the week before, in one row for each of the two that has any: how many of them were
-- captured, and their impressions and distinct users.
-- Reads:      usage_by_day
-- Parameters: $first, the first day of the week, $last, its last one, $first_before, that of the week before
SELECT
    event_date >= $first::DATE AS is_of_the_week,
    count(*) FILTER (WHERE is_captured) AS captured_days,
    sum(impressions)::BIGINT AS views,
    arg_max(weekly_active_users, event_date) AS people
FROM usage_by_day
WHERE event_date BETWEEN $first_before::DATE AND $last::DATE
GROUP BY is_of_the_week
