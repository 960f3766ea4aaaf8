-- How the elements on each page of a workbook are used, where the pages are known (docs/insights.md).
-- Reads:      resource_impressions (of the as-of date), published.resource_users, published.sigma_resources,
--             present_workbooks
-- Makes:      published.page_usage
-- Parameter:  $as_of
CREATE TABLE published.page_usage AS
WITH elements AS (
    SELECT r.workbook_url_id, r.page_id, r.page_name, r.element_id, w.workbook_id, w.name AS workbook_name, w.path
    FROM published.sigma_resources AS r
    INNER JOIN present_workbooks AS w USING (workbook_url_id)
    WHERE r.element_id IS NOT NULL AND r.page_id IS NOT NULL AND r.is_archived IS NOT TRUE AND r.is_deleted IS NOT TRUE
),

figures AS (
    SELECT
        e.workbook_url_id,
        e.page_id,
        any_value(e.workbook_id) AS workbook_id,
        any_value(e.workbook_name) AS workbook_name,
        any_value(e.path) AS path,
        max(e.page_name) AS page_name,
        count(*) AS elements,
        count(*) FILTER (WHERE i.total_impressions_60d > 0) AS used_elements_60d,
        sum(i.total_impressions_14d)::BIGINT AS impressions_14d,
        sum(i.total_impressions_30d)::BIGINT AS impressions_30d,
        sum(i.total_impressions_60d)::BIGINT AS impressions_60d,
        max(i.last_impression_at) AS last_impression_at
    FROM elements AS e
    INNER JOIN resource_impressions AS i USING (workbook_url_id, element_id)
    GROUP BY e.workbook_url_id, e.page_id
),

viewers AS (
    SELECT
        e.workbook_url_id,
        e.page_id,
        max(u.impressions_14d) AS views_14d,
        max(u.impressions_30d) AS views_30d
    FROM elements AS e
    INNER JOIN published.resource_users AS u USING (workbook_url_id, element_id)
    GROUP BY e.workbook_url_id, e.page_id, u.user_email
),

counted AS (
    SELECT
        workbook_url_id,
        page_id,
        count(*) FILTER (WHERE views_14d > 0) AS viewers_14d,
        count(*) FILTER (WHERE views_30d > 0) AS viewers_30d,
        count(*) AS viewers_60d
    FROM viewers
    GROUP BY workbook_url_id, page_id
)

SELECT
    $as_of::DATE AS as_of_date,
    f.workbook_id,
    f.workbook_url_id,
    f.workbook_name,
    f.path,
    f.page_id,
    f.page_name,
    f.elements,
    f.used_elements_60d,
    f.impressions_14d,
    f.impressions_30d,
    f.impressions_60d,
    coalesce(c.viewers_14d, 0) AS viewers_14d,
    coalesce(c.viewers_30d, 0) AS viewers_30d,
    coalesce(c.viewers_60d, 0) AS viewers_60d,
    f.last_impression_at
FROM figures AS f
LEFT JOIN counted AS c USING (workbook_url_id, page_id)
ORDER BY f.workbook_url_id, f.page_id
