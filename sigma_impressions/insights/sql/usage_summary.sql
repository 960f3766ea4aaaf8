-- The headline figures, each with the same one before: of 14 or 60 days earlier, where it is known (docs/insights.md).
-- Reads:      counted_days (event_date, impressions), daily_totals, published.daily_impressions, first_views,
--             stated_resources, underused, user_tiers, resources
-- Makes:      published.usage_summary
-- Parameters: $as_of, $first_event_date, $top_share
CREATE TABLE published.usage_summary AS
WITH impressions AS (
    SELECT
        coalesce(sum(impressions) FILTER (WHERE event_date > $as_of::DATE - 14), 0) AS now_14d,
        coalesce(
            sum(impressions) FILTER (WHERE event_date BETWEEN $as_of::DATE - 27 AND $as_of::DATE - 14), 0
        ) AS before_14d,
        coalesce(sum(impressions) FILTER (WHERE event_date > $as_of::DATE - 60), 0) AS now_60d,
        coalesce(
            sum(impressions) FILTER (WHERE event_date BETWEEN $as_of::DATE - 119 AND $as_of::DATE - 60), 0
        ) AS before_60d
    FROM counted_days
),

users AS (
    SELECT
        count(DISTINCT user_email) FILTER (WHERE event_date > $as_of::DATE - 14) AS now_14d,
        count(DISTINCT user_email) FILTER (
            WHERE event_date BETWEEN $as_of::DATE - 27 AND $as_of::DATE - 14
        ) AS before_14d
    FROM daily_totals
    WHERE event_date > $as_of::DATE - 28
),

active_workbooks AS (
    SELECT
        count(DISTINCT workbook_url_id) FILTER (WHERE event_date > $as_of::DATE - 14) AS now_14d,
        count(DISTINCT workbook_url_id) FILTER (
            WHERE event_date BETWEEN $as_of::DATE - 27 AND $as_of::DATE - 14
        ) AS before_14d
    FROM published.daily_impressions
    WHERE
        event_date > $as_of::DATE - 28
        AND workbook_url_id NOT IN (SELECT workbook_url_id FROM resources WHERE resource_type = 'sigma_data_model')
),

new_users AS (
    SELECT
        count(*) FILTER (
            WHERE first_impression_at::DATE > $as_of::DATE - 14 AND $first_event_date::DATE <= $as_of::DATE - 14
        ) AS now_14d,
        count(*) FILTER (
            WHERE first_impression_at::DATE BETWEEN $as_of::DATE - 27 AND $as_of::DATE - 14
        ) AS before_14d
    FROM first_views
),

-- As of the published date, and as of those that it is compared with.
as_of_dates AS (
    SELECT $as_of::DATE AS as_of_date
    UNION
    SELECT DISTINCT as_of_date
    FROM stated_resources
),

workbooks AS (
    SELECT
        as_of_date,
        count(*) AS workbooks,
        count(*) FILTER (WHERE total_impressions_with_elements_60d > 0) AS used_workbooks
    FROM stated_resources
    WHERE resource_type = 'sigma_workbook' AND is_archived IS NOT TRUE AND is_deleted IS NOT TRUE
    GROUP BY as_of_date
),

underused_workbooks AS (
    SELECT as_of_date, count(*) AS underused_workbooks
    FROM underused
    WHERE resource_type = 'sigma_workbook' AND NOT is_archived
    GROUP BY as_of_date
),

tiers AS (
    SELECT
        as_of_date,
        count(*) FILTER (WHERE tier = 'lapsed') AS lapsed_users,
        sum(impressions) FILTER (WHERE row_rank <= ceil($top_share * users)) / sum(impressions) AS share_of_top
    FROM user_tiers
    GROUP BY as_of_date
),

stated AS (
    SELECT
        d.as_of_date,
        coalesce(w.workbooks, 0)::DOUBLE AS workbooks,
        coalesce(w.used_workbooks, 0)::DOUBLE AS used_workbooks_60d,
        coalesce(u.underused_workbooks, 0)::DOUBLE AS underused_workbooks,
        coalesce(t.lapsed_users, 0)::DOUBLE AS lapsed_users,
        coalesce(t.share_of_top, 0)::DOUBLE AS share_of_top_10_percent_users
    FROM as_of_dates AS d
    LEFT JOIN workbooks AS w USING (as_of_date)
    LEFT JOIN underused_workbooks AS u USING (as_of_date)
    LEFT JOIN tiers AS t USING (as_of_date)
),

by_metric AS (
    UNPIVOT stated
    ON workbooks, used_workbooks_60d, underused_workbooks, lapsed_users, share_of_top_10_percent_users
    INTO NAME metric VALUE value
),

-- Of each figure: the figure before, and the first day that must have been captured for it to be known.
figures AS (
    SELECT 'impressions_14d' AS metric, now_14d AS value, before_14d AS previous_value, $as_of::DATE - 27 AS known_from
    FROM impressions
    UNION ALL
    SELECT 'impressions_60d', now_60d, before_60d, $as_of::DATE - 119
    FROM impressions
    UNION ALL
    SELECT 'active_users_14d', now_14d, before_14d, $as_of::DATE - 27
    FROM users
    UNION ALL
    SELECT 'active_workbooks_14d', now_14d, before_14d, $as_of::DATE - 27
    FROM active_workbooks
    UNION ALL
    SELECT 'new_users_14d', now_14d, before_14d, $as_of::DATE - 28
    FROM new_users
    UNION ALL
    SELECT n.metric, n.value, b.value, b.as_of_date - 59
    FROM by_metric AS n
    LEFT JOIN by_metric AS b
        ON
            n.metric = b.metric
            AND b.as_of_date = $as_of::DATE - CASE WHEN n.metric = 'used_workbooks_60d' THEN 60 ELSE 14 END
    WHERE n.as_of_date = $as_of::DATE
)

SELECT
    $as_of::DATE AS as_of_date,
    metric,
    value::DOUBLE AS value,
    CASE WHEN $first_event_date::DATE <= known_from THEN previous_value::DOUBLE END AS previous_value
FROM figures
ORDER BY list_position(
    [
        'impressions_14d',
        'impressions_60d',
        'active_users_14d',
        'active_workbooks_14d',
        'workbooks',
        'used_workbooks_60d',
        'underused_workbooks',
        'new_users_14d',
        'lapsed_users',
        'share_of_top_10_percent_users'
    ],
    metric
)
