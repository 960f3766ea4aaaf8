-- The headline figures, each with the same one before: of 14 or 60 days earlier, where it is known (docs/insights.md).
-- Those of members have none before, and say why they are not known.
-- Reads:      counted_days (event_date, impressions), daily_totals, published.daily_impressions, ever_seen,
--             stated_resources, underused, user_tiers, resources, users_and_members, what_is_known
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
    FROM ever_seen
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

people AS (
    SELECT
        count(*) FILTER (WHERE may_use_sigma) AS members,
        count(*) FILTER (WHERE may_use_sigma AND active_days_30d > 0) AS active_members,
        count(*) FILTER (WHERE may_use_sigma AND tier = 'never') AS never_seen_members,
        count(*) FILTER (WHERE NOT is_member AND impressions_60d > 0) AS others,
        coalesce(sum(impressions_60d) FILTER (WHERE NOT is_member), 0) AS impressions_of_others
    FROM users_and_members
),

why_not AS (
    SELECT
        CASE
            WHEN NOT has_members
                THEN 'No members are known: neither Sigma''s API nor a file of members has given any.'
        END AS no_members,
        CASE
            WHEN captured_since IS NULL THEN 'No views of the last 14 days are captured.'
            WHEN NOT is_window_captured THEN format(
                'Views are captured since {} only; who never came can be told from {} on.',
                captured_since::VARCHAR,
                (captured_since + 59)::VARCHAR
            )
        END AS short_history
    FROM what_is_known
),

of_members AS (
    SELECT 'members' AS metric, p.members AS value, w.no_members AS unknown_because
    FROM people AS p CROSS JOIN why_not AS w
    UNION ALL
    SELECT 'active_members_30d', p.active_members, w.no_members
    FROM people AS p CROSS JOIN why_not AS w
    UNION ALL
    SELECT 'never_seen_members', p.never_seen_members, coalesce(w.no_members, w.short_history)
    FROM people AS p CROSS JOIN why_not AS w
    UNION ALL
    SELECT 'users_not_members_60d', p.others, w.no_members
    FROM people AS p CROSS JOIN why_not AS w
    UNION ALL
    SELECT 'impressions_not_members_60d', p.impressions_of_others, w.no_members
    FROM people AS p CROSS JOIN why_not AS w
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
    CASE WHEN $first_event_date::DATE <= known_from THEN previous_value::DOUBLE END AS previous_value,
    NULL AS unknown_because
FROM figures
UNION ALL
SELECT $as_of::DATE, metric, CASE WHEN unknown_because IS NULL THEN value END, NULL, unknown_because
FROM of_members
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
        'share_of_top_10_percent_users',
        'members',
        'active_members_30d',
        'never_seen_members',
        'users_not_members_60d',
        'impressions_not_members_60d'
    ],
    metric
)
