-- Usage of every workbook, page and element that Sigma still has: a row per event date on which it was viewed, with its
-- users; and one without event date, the total of all days, also where nobody has viewed it. `digest` differs where
-- anything else of a row does. Nobody, whose user_email is null, is no user.
-- Reads:      entity_views, resources
-- Parameter:  $first, the first event date that has rows of its own
CREATE OR REPLACE TEMP TABLE entity_usage AS
WITH users_of_days AS (
    SELECT resource_type, entity_id, event_date, user_email, sum(impressions)::BIGINT AS impressions
    FROM entity_views
    WHERE event_date >= $first
    GROUP BY ALL
),

days AS (
    SELECT
        resource_type,
        entity_id,
        event_date,
        sum(impressions)::BIGINT AS impressions,
        count(user_email) AS distinct_users,
        NULL::TIMESTAMPTZ AS last_impression_at,
        coalesce(
            list({'user_email': user_email, 'impressions': impressions} ORDER BY impressions DESC, user_email)
                FILTER (WHERE user_email IS NOT NULL),
            []
        ) AS used
    FROM users_of_days
    GROUP BY ALL
),

totals AS (
    SELECT
        resource_type,
        entity_id,
        sum(impressions)::BIGINT AS impressions,
        count(DISTINCT user_email) AS distinct_users,
        max(last_impression_at) AS last_impression_at
    FROM entity_views
    GROUP BY ALL
),

entities AS (
    SELECT DISTINCT resource_type, coalesce(element_id, workbook_id) AS entity_id
    FROM resources
    WHERE is_deleted IS NOT TRUE AND coalesce(element_id, workbook_id) IS NOT NULL
    UNION
    SELECT 'sigma_page', page_id
    FROM resources
    WHERE is_deleted IS NOT TRUE AND page_id IS NOT NULL
),

usage AS (
    FROM days
    UNION ALL BY NAME
    SELECT
        e.resource_type,
        e.entity_id,
        NULL::DATE AS event_date,
        coalesce(t.impressions, 0) AS impressions,
        coalesce(t.distinct_users, 0) AS distinct_users,
        t.last_impression_at,
        [] AS used
    FROM entities AS e
    LEFT JOIN totals AS t USING (resource_type, entity_id)
)

SELECT *, md5(concat_ws(' ', impressions, distinct_users, last_impression_at, used::VARCHAR)) AS digest
FROM usage
