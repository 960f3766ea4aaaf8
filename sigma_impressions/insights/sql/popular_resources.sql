-- How popular each resource is among those of its type that are neither archived nor deleted (docs/insights.md).
-- The figures of a workbook or data model include those of its elements.
-- Reads:      resource_impressions (of the as-of date), published.daily_impressions, last_views
-- Makes:      published.popular_resources
-- Parameters: $as_of, $moved_share, $moved_impressions
CREATE TABLE published.popular_resources AS
WITH previous_of_workbooks AS (
    SELECT workbook_url_id, sum(impressions)::BIGINT AS impressions
    FROM published.daily_impressions
    WHERE event_date BETWEEN $as_of::DATE - 27 AND $as_of::DATE - 14
    GROUP BY workbook_url_id
),

present AS (
    SELECT
        r.resource_type,
        r.workbook_url_id,
        r.element_id,
        r.total_impressions_with_elements_60d AS impressions_60d,
        r.distinct_impressions_users_with_elements_60d AS users_60d,
        r.total_impressions_with_elements_14d AS now,
        CASE
            WHEN r.element_id IS NULL THEN coalesce(p.impressions, 0)
            ELSE r.total_impressions_prior_14d
        END AS before
    FROM resource_impressions AS r
    LEFT JOIN previous_of_workbooks AS p USING (workbook_url_id)
    WHERE r.is_archived IS NOT TRUE AND r.is_deleted IS NOT TRUE
),

ranked AS (
    SELECT
        resource_type,
        workbook_url_id,
        element_id,
        rank() OVER most_impressions AS rank_by_impressions,
        rank() OVER most_users AS rank_by_users,
        rank() OVER fewest_impressions - 1 AS with_fewer_impressions,
        rank() OVER fewest_users - 1 AS with_fewer_users,
        count(*) OVER (PARTITION BY resource_type) AS of_the_type,
        now,
        before,
        now - before AS moved
    FROM present
    WINDOW
        most_impressions AS (PARTITION BY resource_type ORDER BY impressions_60d DESC),
        fewest_impressions AS (PARTITION BY resource_type ORDER BY impressions_60d),
        most_users AS (PARTITION BY resource_type ORDER BY users_60d DESC),
        fewest_users AS (PARTITION BY resource_type ORDER BY users_60d)
)

SELECT
    r.as_of_date,
    r.resource_type,
    r.workbook_id,
    r.workbook_url_id,
    r.element_id,
    r.name,
    r.workbook_name,
    r.path,
    r.url,
    r.owner_email,
    r.total_impressions_with_elements_60d AS total_impressions_60d,
    r.distinct_impressions_users_with_elements_60d AS distinct_impressions_users_60d,
    o.rank_by_impressions::INTEGER AS rank_by_impressions,
    o.rank_by_users::INTEGER AS rank_by_users,
    (100 * o.with_fewer_impressions)::DOUBLE / o.of_the_type AS percentile_by_impressions,
    (100 * o.with_fewer_users)::DOUBLE / o.of_the_type AS percentile_by_users,
    o.now AS total_impressions_14d,
    o.before AS previous_impressions_14d,
    o.moved::DOUBLE / nullif(o.before, 0) AS trend_14d,
    CASE
        WHEN o.now = 0 AND o.before = 0 THEN 'none'
        WHEN o.before = 0 THEN 'new'
        WHEN o.now = 0 THEN 'gone'
        WHEN o.moved >= greatest($moved_share * o.before, $moved_impressions) THEN 'riser'
        WHEN -o.moved >= greatest($moved_share * o.before, $moved_impressions) THEN 'faller'
        ELSE 'steady'
    END AS movement,
    l.last_impression_at
FROM resource_impressions AS r
INNER JOIN ranked AS o
    ON
        r.resource_type = o.resource_type
        AND r.workbook_url_id = o.workbook_url_id
        AND r.element_id IS NOT DISTINCT FROM o.element_id
LEFT JOIN last_views AS l
    ON r.workbook_url_id = l.workbook_url_id AND r.element_id IS NOT DISTINCT FROM l.element_id
ORDER BY r.resource_type DESC, o.rank_by_impressions, o.rank_by_users, r.workbook_url_id, r.element_id
