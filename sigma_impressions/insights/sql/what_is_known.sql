-- What can be told of people and of periods, in one row (docs/insights.md, "What is known").
-- `captured_since` is the first of the captured days that go on until now: where none was captured for more than
-- $longest_gap days, what lies before that is no more than a stray row, or from before an outage.
-- Reads:      captured_days (event_date), members
-- Parameters: $as_of, $last_complete_day, $longest_gap
CREATE OR REPLACE TEMP TABLE what_is_known AS
WITH days AS (
    SELECT
        event_date,
        lead(event_date, 1, $as_of::DATE) OVER (ORDER BY event_date) - event_date > $longest_gap AS is_before_gap
    FROM captured_days
),

captured AS (
    SELECT min(event_date) AS since
    FROM days
    WHERE event_date > coalesce((SELECT max(event_date) FROM days WHERE is_before_gap), '-infinity'::DATE)
),

compared AS (
    SELECT
        count(*) FILTER (WHERE event_date > $last_complete_day::DATE - 14) AS complete_days,
        count(*) FILTER (WHERE event_date <= $last_complete_day::DATE - 14) AS previous_days
    FROM captured_days
    WHERE event_date BETWEEN $last_complete_day::DATE - 27 AND $last_complete_day::DATE
)

SELECT
    c.since AS captured_since,
    coalesce(c.since <= $as_of::DATE - 59, FALSE) AS is_window_captured,
    EXISTS (FROM members) AS has_members,
    $last_complete_day::DATE AS last_complete_day,
    coalesce($last_complete_day::DATE - 13 >= $as_of::DATE - 59 AND d.complete_days = 14, FALSE) AS has_complete_days,
    coalesce($last_complete_day::DATE - 27 >= $as_of::DATE - 59 AND d.previous_days = 14, FALSE) AS has_previous_days
FROM captured AS c
CROSS JOIN compared AS d
