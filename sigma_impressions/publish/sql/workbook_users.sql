-- Who viewed each workbook, or an element of it, in the 60 days up to the as-of date, whether Sigma knows it or not.
-- Both have numbers too, in the order of their names: these are grouped much faster.
-- Reads:      viewed_by_user, resource_numbers, user_numbers
CREATE OR REPLACE TEMP TABLE workbook_users AS
WITH workbooks AS (
    SELECT DISTINCT workbook_no, workbook_url_id
    FROM resource_numbers
),

by_number AS (
    SELECT
        n.workbook_no,
        v.user_no,
        sum(v.impressions_14d::DOUBLE)::BIGINT AS impressions_14d,
        sum(v.impressions_30d::DOUBLE)::BIGINT AS impressions_30d,
        sum(v.impressions_60d::DOUBLE)::BIGINT AS impressions_60d
    FROM viewed_by_user AS v
    INNER JOIN resource_numbers AS n USING (resource_no)
    WHERE v.user_no IS NOT NULL
    GROUP BY n.workbook_no, v.user_no
)

SELECT
    b.workbook_no,
    w.workbook_url_id,
    b.user_no,
    u.user_email,
    b.impressions_14d,
    b.impressions_30d,
    b.impressions_60d
FROM by_number AS b
INNER JOIN workbooks AS w USING (workbook_no)
INNER JOIN user_numbers AS u USING (user_no)
