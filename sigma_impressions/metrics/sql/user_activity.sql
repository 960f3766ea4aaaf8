-- Activity per user of the 60 days up to the as-of date, over all impressions, matched or not.
-- Reads:      workbooks_by_user, user_numbers, active_days
-- Parameter:  $as_of
WITH days AS (
    SELECT
        user_no,
        count(*) FILTER (WHERE event_date > $as_of::DATE - 14) AS active_days_14d,
        count(*) FILTER (WHERE event_date > $as_of::DATE - 30) AS active_days_30d,
        count(*) AS active_days_60d
    FROM active_days
    WHERE event_date BETWEEN $as_of::DATE - 59 AND $as_of::DATE
    GROUP BY user_no
)

SELECT
    $as_of::DATE AS as_of_date,
    user_email,
    sum(impressions_14d)::BIGINT AS total_impressions_14d,
    sum(impressions_30d)::BIGINT AS total_impressions_30d,
    sum(impressions_60d)::BIGINT AS total_impressions_60d,
    count(*) FILTER (WHERE impressions_14d > 0) AS distinct_workbooks_14d,
    count(*) FILTER (WHERE impressions_30d > 0) AS distinct_workbooks_30d,
    count(*) AS distinct_workbooks_60d,
    sum(resources_14d)::BIGINT AS distinct_resources_14d,
    sum(resources_30d)::BIGINT AS distinct_resources_30d,
    sum(resources_60d)::BIGINT AS distinct_resources_60d,
    any_value(active_days_14d) AS active_days_14d,
    any_value(active_days_30d) AS active_days_30d,
    any_value(active_days_60d) AS active_days_60d,
    min(first_impression_at) AS first_impression_at,
    max(last_impression_at) AS last_impression_at
FROM workbooks_by_user
INNER JOIN days USING (user_no)
INNER JOIN user_numbers USING (user_no)
GROUP BY user_no, user_email
ORDER BY user_email
