-- The headline figures as of the date and, to be compared, as of the last complete day C and as of 14 or 60 days before
-- C, where all days that they count were captured (docs/insights.md). Those of members are not compared, and say why
-- they are not known.
-- Reads:      counted_days (event_date, impressions), captured_days (event_date), daily_totals,
--             published.daily_impressions, ever_seen, stated_resources, underused, user_tiers, resources,
--             users_and_members, what_is_known
-- Makes:      published.usage_summary
-- Parameters: $as_of, $top_share
CREATE TABLE published.usage_summary AS
WITH known AS (
    SELECT last_complete_day AS c, $as_of::DATE AS d, captured_since
    FROM what_is_known
),

impressions AS (
    SELECT
        coalesce(sum(i.impressions) FILTER (WHERE i.event_date > k.d - 14), 0) AS now_14d,
        coalesce(sum(i.impressions) FILTER (WHERE i.event_date BETWEEN k.c - 13 AND k.c), 0) AS complete_14d,
        coalesce(sum(i.impressions) FILTER (WHERE i.event_date BETWEEN k.c - 27 AND k.c - 14), 0) AS previous_14d,
        coalesce(sum(i.impressions) FILTER (WHERE i.event_date > k.d - 60), 0) AS now_60d,
        coalesce(sum(i.impressions) FILTER (WHERE i.event_date BETWEEN k.c - 59 AND k.c), 0) AS complete_60d,
        coalesce(sum(i.impressions) FILTER (WHERE i.event_date BETWEEN k.c - 119 AND k.c - 60), 0) AS previous_60d
    FROM counted_days AS i
    CROSS JOIN known AS k
),

users AS (
    SELECT
        count(DISTINCT t.user_email) FILTER (WHERE t.event_date > k.d - 14) AS now_14d,
        count(DISTINCT t.user_email) FILTER (WHERE t.event_date BETWEEN k.c - 13 AND k.c) AS complete_14d,
        count(DISTINCT t.user_email) FILTER (WHERE t.event_date BETWEEN k.c - 27 AND k.c - 14) AS previous_14d
    FROM daily_totals AS t
    CROSS JOIN known AS k
    WHERE t.event_date >= least(k.d - 13, k.c - 27)
),

active_workbooks AS (
    SELECT
        count(DISTINCT i.workbook_url_id) FILTER (WHERE i.event_date > k.d - 14) AS now_14d,
        count(DISTINCT i.workbook_url_id) FILTER (WHERE i.event_date BETWEEN k.c - 13 AND k.c) AS complete_14d,
        count(DISTINCT i.workbook_url_id) FILTER (WHERE i.event_date BETWEEN k.c - 27 AND k.c - 14) AS previous_14d
    FROM published.daily_impressions AS i
    CROSS JOIN known AS k
    WHERE
        i.event_date >= least(k.d - 13, k.c - 27)
        AND i.workbook_url_id NOT IN (SELECT workbook_url_id FROM resources WHERE resource_type = 'sigma_data_model')
),

-- Unless the 14 days before were captured, nobody can be told from those who were there before.
new_users AS (
    SELECT
        count(*) FILTER (WHERE e.first_impression_at::DATE > k.d - 14 AND k.captured_since <= k.d - 27) AS now_14d,
        count(*) FILTER (WHERE e.first_impression_at::DATE BETWEEN k.c - 13 AND k.c) AS complete_14d,
        count(*) FILTER (WHERE e.first_impression_at::DATE BETWEEN k.c - 27 AND k.c - 14) AS previous_14d
    FROM ever_seen AS e
    CROSS JOIN known AS k
),

-- As of the published date, and as of those that are compared.
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

unpivoted AS (
    UNPIVOT stated
    ON workbooks, used_workbooks_60d, underused_workbooks, lapsed_users, share_of_top_10_percent_users
    INTO NAME metric VALUE value
),

by_metric AS (
    SELECT
        *,
        CASE metric WHEN 'workbooks' THEN 0 ELSE 60 END AS days,
        CASE metric WHEN 'used_workbooks_60d' THEN 60 ELSE 14 END AS later
    FROM unpivoted
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

-- Of each figure: how many days it counts, or has to know, and how many days later than the one before it is stated;
-- `kept_from` is the first day of what it is counted from.
figures AS (
    SELECT
        'impressions_14d' AS metric,
        now_14d AS value,
        complete_14d AS complete_value,
        previous_14d AS previous_complete_value,
        14 AS days,
        14 AS later,
        '-infinity'::DATE AS kept_from
    FROM impressions
    UNION ALL
    SELECT 'impressions_60d', now_60d, complete_60d, previous_60d, 60, 60, '-infinity'::DATE
    FROM impressions
    UNION ALL
    SELECT 'active_users_14d', now_14d, complete_14d, previous_14d, 14, 14, $as_of::DATE - 59
    FROM users
    UNION ALL
    SELECT 'active_workbooks_14d', now_14d, complete_14d, previous_14d, 14, 14, $as_of::DATE - 59
    FROM active_workbooks
    UNION ALL
    SELECT 'new_users_14d', now_14d, complete_14d, previous_14d, 28, 14, '-infinity'::DATE
    FROM new_users
    UNION ALL
    SELECT
        n.metric,
        n.value,
        c.value,
        b.value,
        n.days,
        n.later,
        '-infinity'::DATE
    FROM by_metric AS n
    CROSS JOIN known AS k
    LEFT JOIN by_metric AS c ON n.metric = c.metric AND c.as_of_date = k.c
    LEFT JOIN by_metric AS b ON n.metric = b.metric AND b.as_of_date = k.c - n.later
    WHERE n.as_of_date = k.d
),

checked AS (
    SELECT
        f.*,
        k.c,
        k.c - f.days + 1 AS first_day,
        k.c - f.later - f.days + 1 AS first_day_before,
        (SELECT count(*) FROM captured_days WHERE event_date BETWEEN first_day AND k.c) AS captured,
        (
            SELECT count(*) FROM captured_days WHERE event_date BETWEEN first_day_before AND k.c - f.later
        ) AS captured_before,
        (SELECT count(*) FROM captured_days WHERE event_date BETWEEN first_day_before AND k.c) AS captured_in_all
    FROM figures AS f
    CROSS JOIN known AS k
),

compared AS (
    SELECT
        *,
        CASE WHEN captured = days AND first_day >= kept_from THEN complete_value END AS complete,
        CASE WHEN captured_before = days AND first_day_before >= kept_from THEN previous_complete_value END AS previous
    FROM checked
)

SELECT
    $as_of::DATE AS as_of_date,
    metric,
    value::DOUBLE AS value,
    c AS last_complete_day,
    complete::DOUBLE AS complete_value,
    previous::DOUBLE AS previous_complete_value,
    CASE
        WHEN complete IS NOT NULL AND previous IS NOT NULL THEN NULL
        WHEN c IS NULL THEN 'No export file has been read, so no day is complete.'
        WHEN captured < days OR captured_before < days
            THEN format(
                'Only {} of the {} days from {} to {} were captured.',
                captured_in_all,
                days + later,
                first_day_before::VARCHAR,
                c::VARCHAR
            )
        WHEN first_day_before < kept_from THEN format('The last complete day, {}, is too long ago.', c::VARCHAR)
        ELSE format('The tables as of {} or as of {} are not computed.', (c - later)::VARCHAR, c::VARCHAR)
    END AS not_compared_because,
    NULL AS unknown_because
FROM compared
UNION ALL
SELECT
    $as_of::DATE,
    metric,
    CASE WHEN unknown_because IS NULL THEN value END,
    NULL,
    NULL,
    NULL,
    'Members are known as of the newest snapshot only.',
    unknown_because
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
