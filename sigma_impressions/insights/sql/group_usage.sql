-- Usage of the workbooks of each folder and owner, as it is published of both. Nobody is among the impressions and no
-- viewer.
-- Reads:      workbook_groups, present_workbooks, workbook_users, what_is_known
CREATE OR REPLACE TEMP TABLE group_usage AS
WITH figures AS (
    SELECT
        g.group_no,
        any_value(g.grouped_by) AS grouped_by,
        any_value(g.group_name) AS group_name,
        any_value(g.depth) AS depth,
        count(*) AS workbooks,
        count(*) FILTER (WHERE w.impressions_60d > 0) AS used_workbooks_60d,
        count(*) FILTER (WHERE w.impressions_60d = 0) AS unused_workbooks_60d,
        count(*) FILTER (WHERE w.is_underused) AS underused_workbooks,
        sum(w.impressions_14d)::BIGINT AS impressions_14d,
        sum(w.impressions_30d)::BIGINT AS impressions_30d,
        sum(w.impressions_60d)::BIGINT AS impressions_60d,
        arg_min(
            {'url_id': w.workbook_url_id, 'name': w.name, 'impressions': w.impressions_60d},
            (-w.impressions_60d, w.workbook_url_id)
        ) FILTER (WHERE w.impressions_60d > 0) AS top_workbook,
        sum(w.complete_impressions)::BIGINT AS complete_impressions_14d,
        sum(w.previous_impressions)::BIGINT AS previous_complete_impressions_14d
    FROM workbook_groups AS g
    INNER JOIN present_workbooks AS w USING (workbook_url_id)
    GROUP BY g.group_no
),

viewers AS (
    SELECT g.group_no, max(u.impressions_14d) AS views_14d, max(u.impressions_30d) AS views_30d
    FROM workbook_groups AS g
    INNER JOIN workbook_users AS u USING (workbook_url_id)
    GROUP BY g.group_no, u.user_no
),

counted AS (
    SELECT
        group_no,
        count(*) FILTER (WHERE views_14d > 0) AS viewers_14d,
        count(*) FILTER (WHERE views_30d > 0) AS viewers_30d,
        count(*) AS viewers_60d
    FROM viewers
    GROUP BY group_no
)

SELECT
    f.* EXCLUDE (top_workbook, complete_impressions_14d, previous_complete_impressions_14d),
    coalesce(c.viewers_14d, 0) AS viewers_14d,
    coalesce(c.viewers_30d, 0) AS viewers_30d,
    coalesce(c.viewers_60d, 0) AS viewers_60d,
    f.top_workbook.url_id AS top_workbook_url_id,
    f.top_workbook.name AS top_workbook_name,
    f.top_workbook.impressions AS top_workbook_impressions_60d,
    k.last_complete_day,
    f.complete_impressions_14d,
    f.previous_complete_impressions_14d,
    f.complete_impressions_14d::DOUBLE / nullif(f.previous_complete_impressions_14d, 0) - 1 AS trend_14d
FROM figures AS f
LEFT JOIN counted AS c USING (group_no)
CROSS JOIN what_is_known AS k
