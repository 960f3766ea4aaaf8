-- How popular each resource is among those of its type that are neither archived nor deleted (docs/insights.md).
-- The figures of a workbook or data model include those of its elements. Those of complete days are null where these
-- are not known.
-- Reads:      resource_impressions (of the as-of date), published.daily_impressions, last_views, what_is_known
-- Makes:      published.popular_resources
-- Parameters: $moved_share, $moved_impressions
CREATE TABLE published.popular_resources AS
WITH complete_days AS (
    SELECT
        d.workbook_url_id,
        d.element_id,
        grouping(d.element_id) AS is_with_elements,
        sum(d.impressions) FILTER (WHERE d.event_date > k.last_complete_day - 14) AS now,
        sum(d.impressions) FILTER (WHERE d.event_date <= k.last_complete_day - 14) AS before
    FROM published.daily_impressions AS d
    CROSS JOIN what_is_known AS k
    WHERE d.event_date BETWEEN k.last_complete_day - 27 AND k.last_complete_day
    GROUP BY GROUPING SETS ((d.workbook_url_id), (d.workbook_url_id, d.element_id))
),

present AS (
    SELECT
        r.resource_type,
        r.workbook_url_id,
        r.element_id,
        r.total_impressions_with_elements_60d AS impressions_60d,
        r.distinct_impressions_users_with_elements_60d AS users_60d,
        CASE WHEN k.has_complete_days THEN coalesce(c.now, 0)::BIGINT END AS now,
        CASE WHEN k.has_previous_days THEN coalesce(c.before, 0)::BIGINT END AS before
    FROM resource_impressions AS r
    LEFT JOIN complete_days AS c
        ON
            r.workbook_url_id = c.workbook_url_id
            AND r.element_id IS NOT DISTINCT FROM c.element_id
            AND (r.element_id IS NULL) = (c.is_with_elements = 1)
    CROSS JOIN what_is_known AS k
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
    r.total_impressions_with_elements_14d AS total_impressions_14d,
    k.last_complete_day,
    o.now AS complete_impressions_14d,
    o.before AS previous_complete_impressions_14d,
    o.moved::DOUBLE / nullif(o.before, 0) AS trend_14d,
    CASE
        WHEN o.moved IS NULL THEN 'unknown'
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
CROSS JOIN what_is_known AS k
ORDER BY r.resource_type DESC, o.rank_by_impressions, o.rank_by_users, r.workbook_url_id, r.element_id
