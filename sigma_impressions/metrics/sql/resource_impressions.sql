-- Usage of every resource as of a day, also of those that nobody viewed (docs/tables-and-metrics.md,
-- "resource_impressions"). Who viewed it is in the published database alone. Sums are of doubles, as in
-- shared_views.sql.
-- Reads:      viewed_by_user, workbooks_by_user, daily_totals, resource_ids, resource_numbers, resources
-- Parameter:  $as_of
WITH own_by_number AS (
    SELECT
        resource_no,
        sum(impressions_14d::DOUBLE)::BIGINT AS total_14d,
        sum(impressions_30d::DOUBLE)::BIGINT AS total_30d,
        sum(impressions_60d::DOUBLE)::BIGINT AS total_60d,
        count(user_no) FILTER (WHERE impressions_14d > 0) AS users_14d,
        count(user_no) FILTER (WHERE impressions_30d > 0) AS users_30d,
        count(user_no) AS users_60d,
        coalesce(sum(impressions_60d) FILTER (WHERE user_no IS NULL), 0)::BIGINT AS anonymous_60d,
        min(first_impression_at) AS first_impression_at,
        max(last_impression_at) AS last_impression_at
    FROM viewed_by_user
    INNER JOIN resource_numbers USING (resource_no)
    WHERE resource_is_known
    GROUP BY resource_no
),

-- Of no interest by user, and so not counted by user.
prior AS (
    SELECT r.resource_no, sum(t.impressions)::BIGINT AS total_prior_14d
    FROM daily_totals AS t
    INNER JOIN resource_ids AS r
        ON t.workbook_url_id = r.exported_id AND t.element_id IS NOT DISTINCT FROM r.element_id
    WHERE t.event_date BETWEEN $as_of::DATE - 27 AND $as_of::DATE - 14
    GROUP BY r.resource_no
),

own AS (
    SELECT n.workbook_url_id, n.element_id, o.*, p.total_prior_14d
    FROM own_by_number AS o
    INNER JOIN resource_numbers AS n USING (resource_no)
    LEFT JOIN prior AS p USING (resource_no)
),

-- A user who viewed a workbook and its elements counts once.
workbook_with_elements AS (
    SELECT
        workbook_no,
        sum(impressions_14d::DOUBLE)::BIGINT AS total_14d,
        sum(impressions_30d::DOUBLE)::BIGINT AS total_30d,
        sum(impressions_60d::DOUBLE)::BIGINT AS total_60d,
        count(user_no) FILTER (WHERE impressions_14d > 0) AS users_14d,
        count(user_no) FILTER (WHERE impressions_30d > 0) AS users_30d,
        count(user_no) AS users_60d,
        coalesce(sum(impressions_60d) FILTER (WHERE user_no IS NULL), 0)::BIGINT AS anonymous_60d
    FROM workbooks_by_user
    GROUP BY workbook_no
),

workbook_names AS (
    SELECT DISTINCT workbook_no, workbook_url_id
    FROM resource_numbers
    WHERE workbook_is_known
),

-- Elements have no elements: theirs equals their own.
with_elements AS (
    SELECT n.workbook_url_id, NULL AS element_id, w.* EXCLUDE (workbook_no)
    FROM workbook_with_elements AS w
    INNER JOIN workbook_names AS n USING (workbook_no)
    UNION ALL BY NAME
    SELECT workbook_url_id, element_id, total_14d, total_30d, total_60d, users_14d, users_30d, users_60d, anonymous_60d
    FROM own
    WHERE element_id IS NOT NULL
)

SELECT
    $as_of::DATE AS as_of_date,
    r.*,
    coalesce(o.total_14d, 0) AS total_impressions_14d,
    coalesce(o.users_14d, 0) AS distinct_impressions_users_14d,
    coalesce(o.total_30d, 0) AS total_impressions_30d,
    coalesce(o.users_30d, 0) AS distinct_impressions_users_30d,
    coalesce(o.total_60d, 0) AS total_impressions_60d,
    coalesce(o.users_60d, 0) AS distinct_impressions_users_60d,
    coalesce(e.total_14d, 0) AS total_impressions_with_elements_14d,
    coalesce(e.users_14d, 0) AS distinct_impressions_users_with_elements_14d,
    coalesce(e.total_30d, 0) AS total_impressions_with_elements_30d,
    coalesce(e.users_30d, 0) AS distinct_impressions_users_with_elements_30d,
    coalesce(e.total_60d, 0) AS total_impressions_with_elements_60d,
    coalesce(e.users_60d, 0) AS distinct_impressions_users_with_elements_60d,
    coalesce(o.total_prior_14d, 0) AS total_impressions_prior_14d,
    o.first_impression_at,
    o.last_impression_at,
    coalesce(e.anonymous_60d, 0) AS anonymous_impressions_60d
FROM resources AS r
LEFT JOIN own AS o
    ON r.workbook_url_id = o.workbook_url_id AND r.element_id IS NOT DISTINCT FROM o.element_id
LEFT JOIN with_elements AS e
    ON r.workbook_url_id = e.workbook_url_id AND r.element_id IS NOT DISTINCT FROM e.element_id
ORDER BY r.element_id IS NULL, r.workbook_url_id, r.element_id
