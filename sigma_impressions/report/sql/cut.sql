-- How many pairs of a person and a workbook there are, and how many of them daily_users has.
-- Reads:      user_activity, daily_users
WITH told AS (
    SELECT workbook_url_id, user_email, sum(impressions) AS impressions
    FROM daily_users
    WHERE user_email IS NOT NULL AND workbook_url_id IS NOT NULL
    GROUP BY workbook_url_id, user_email
)

SELECT
    coalesce((SELECT sum(distinct_workbooks_60d) FROM user_activity), 0)::BIGINT AS pairs,
    count(*) AS shown,
    coalesce((SELECT sum(total_impressions_60d) FROM user_activity), 0)::BIGINT AS impressions,
    coalesce(sum(impressions), 0)::BIGINT AS impressions_shown
FROM told
