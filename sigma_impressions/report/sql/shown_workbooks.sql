-- The workbooks and data models that are there, in the order of popular_resources, and behind them those that were
-- viewed in the 60 days and are gone, archived or unknown, the most viewed first.
-- Reads:      resource_impressions, popular_resources, underused_resources, unmatched_impressions, daily_impressions
WITH viewed AS (
    SELECT workbook_url_id, sum(impressions)::BIGINT AS impressions
    FROM daily_impressions
    GROUP BY workbook_url_id
),

-- Within the 60 days; a workbook also through its elements.
last_views AS (
    SELECT workbook_url_id, max(last_impression_at) AS last_impression_at
    FROM (
        SELECT workbook_url_id, last_impression_at
        FROM resource_impressions
        UNION ALL
        SELECT workbook_url_id, last_impression_at
        FROM unmatched_impressions
    )
    GROUP BY workbook_url_id
),

workbooks AS (
    SELECT *
    FROM resource_impressions
    WHERE element_id IS NULL
),

present AS (
    SELECT *
    FROM popular_resources
    WHERE element_id IS NULL
),

underused AS (
    SELECT *
    FROM underused_resources
    WHERE element_id IS NULL
)

SELECT
    workbook_url_id,
    coalesce(w.name, workbook_url_id) AS name,
    w.path,
    w.url,
    w.owner_email,
    CASE w.resource_type
        WHEN 'sigma_workbook' THEN 'workbook'
        WHEN 'sigma_data_model' THEN 'data_model'
        ELSE 'unknown'
    END AS kind,
    CASE
        WHEN p.workbook_url_id IS NOT NULL THEN 'present'
        WHEN w.workbook_url_id IS NULL THEN 'unknown'
        WHEN w.is_deleted THEN 'deleted'
        ELSE 'archived'
    END AS state,
    coalesce(u.age_days, w.as_of_date - w.created_at::DATE) AS age_days,
    coalesce(p.last_impression_at, l.last_impression_at) AS last_impression_at,
    u.reason,
    u.reason_code
FROM workbooks AS w
FULL JOIN viewed AS v USING (workbook_url_id)
LEFT JOIN present AS p USING (workbook_url_id)
LEFT JOIN underused AS u USING (workbook_url_id)
LEFT JOIN last_views AS l USING (workbook_url_id)
WHERE p.workbook_url_id IS NOT NULL OR v.workbook_url_id IS NOT NULL
ORDER BY
    p.workbook_url_id IS NULL,
    p.resource_type DESC,
    p.rank_by_impressions,
    p.rank_by_users,
    v.impressions DESC,
    workbook_url_id
