-- Impressions and users per event date and resource, for the published database.
-- A view that named the workbook by its UUID stands under the workbook's URL ID, as in the metric tables.
-- Reads:      daily_impressions, viewed_resources, viewed
WITH numbered AS (
    SELECT d.event_date, r.resource_no, r.has_several_ids, d.user_email, d.impressions
    FROM daily_impressions AS d
    INNER JOIN viewed_resources AS r
        ON d.workbook_url_id = r.viewed_id AND d.element_id IS NOT DISTINCT FROM r.element_id
),

-- Under one ID a user has one row a day; to count rows takes a tenth of the time.
counted AS (
    SELECT event_date, resource_no, sum(impressions)::BIGINT AS impressions, count(*) AS distinct_users
    FROM numbered
    WHERE NOT has_several_ids
    GROUP BY event_date, resource_no
    UNION ALL
    SELECT event_date, resource_no, sum(impressions)::BIGINT AS impressions, count(DISTINCT user_email) AS distinct_users
    FROM numbered
    WHERE has_several_ids
    GROUP BY event_date, resource_no
)

SELECT c.event_date, v.workbook_url_id, v.element_id, c.impressions, c.distinct_users
FROM counted AS c
INNER JOIN viewed AS v USING (resource_no)
ORDER BY c.event_date, c.resource_no
