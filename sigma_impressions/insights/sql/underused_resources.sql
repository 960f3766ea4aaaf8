-- The underused resources of the as-of date, each with the reason.
-- Reads:      underused, resource_impressions (of the as-of date), last_views
-- Makes:      published.underused_resources
-- Parameters: $as_of, $below_users, $first_event_date
CREATE TABLE published.underused_resources AS
WITH named AS (
    SELECT
        u.as_of_date,
        u.resource_type,
        r.workbook_id,
        u.workbook_url_id,
        u.element_id,
        r.name,
        r.workbook_name,
        r.path,
        r.url,
        r.owner_email,
        r.created_at,
        r.updated_at,
        u.is_archived,
        u.age_days::INTEGER AS age_days,
        u.total_impressions_60d,
        u.distinct_impressions_users_60d,
        u.viewers,
        l.last_impression_at,
        (u.as_of_date - l.last_impression_at::DATE)::INTEGER AS days_since_last_impression,
        CASE
            WHEN u.total_impressions_60d > 0 THEN 'few_users'
            WHEN l.last_impression_at IS NULL THEN 'never_seen'
            ELSE 'no_impressions'
        END AS reason_code
    FROM underused AS u
    INNER JOIN resource_impressions AS r
        ON
            u.resource_type = r.resource_type
            AND u.workbook_url_id = r.workbook_url_id
            AND u.element_id IS NOT DISTINCT FROM r.element_id
    LEFT JOIN last_views AS l
        ON u.workbook_url_id = l.workbook_url_id AND u.element_id IS NOT DISTINCT FROM l.element_id
    WHERE u.as_of_date = $as_of::DATE
)

SELECT
    * EXCLUDE (viewers),
    CASE reason_code
        WHEN 'few_users' THEN format(
            '{} {} viewed it in the last 60 days; fewer than {} count as underused.',
            CASE WHEN viewers > distinct_impressions_users_60d THEN 'At most' ELSE 'Only' END,
            CASE viewers WHEN 1 THEN '1 user' ELSE format('{} users', viewers) END,
            $below_users::BIGINT
        )
        WHEN 'never_seen' THEN format(
            'No view of it has been captured; the captured views begin on {}.', $first_event_date::DATE::VARCHAR
        )
        ELSE format(
            'Nobody viewed it in the last 60 days; the last view was on {}, {} days ago.',
            last_impression_at::DATE::VARCHAR,
            days_since_last_impression
        )
    END AS reason
FROM named
ORDER BY is_archived, resource_type DESC, last_impression_at NULLS FIRST, workbook_url_id, element_id
