-- What can be told of people and of periods, in one row (docs/insights.md, "What is known").
-- `captured_since` is the first day of the days with views that go on until now: where there was none for more than 14
-- days, nothing was captured, and what lies before that is no more than a few views.
-- Reads:      counted_days, members
-- Parameters: $as_of, $last_complete_day
CREATE OR REPLACE TEMP TABLE what_is_known AS
WITH days AS (
    SELECT event_date, lead(event_date, 1, $as_of::DATE) OVER (ORDER BY event_date) - event_date > 14 AS is_before_gap
    FROM counted_days
),

captured AS (
    SELECT min(event_date) AS since
    FROM days
    WHERE event_date > coalesce((SELECT max(event_date) FROM days WHERE is_before_gap), '-infinity'::DATE)
)

SELECT
    since AS captured_since,
    coalesce(since <= $as_of::DATE - 59, FALSE) AS is_window_captured,
    EXISTS (FROM members) AS has_members,
    $last_complete_day::DATE AS last_complete_day,
    coalesce($last_complete_day::DATE - 13 >= $as_of::DATE - 59, FALSE) AS has_complete_days,
    coalesce(
        $last_complete_day::DATE - 27 >= since AND $last_complete_day::DATE - 27 >= $as_of::DATE - 59, FALSE
    ) AS has_previous_days
FROM captured
