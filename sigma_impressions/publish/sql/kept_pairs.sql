-- The pairs of a user and a workbook of which every day is published: those with the most impressions, as many as the
-- bounds let.
-- Reads:      workbook_users, exported_workbooks, days_of_pairs
-- Parameters: $most_pairs, $most_days
CREATE OR REPLACE TEMP TABLE kept_pairs AS
WITH most_viewed AS (
    SELECT *
    FROM workbook_users
    ORDER BY impressions_60d DESC, workbook_no, user_no
    LIMIT $most_pairs
),

-- A workbook that has several names in the exports has at most the days of them all.
counted AS (
    SELECT m.workbook_no, m.user_no, sum(d.days) AS days
    FROM most_viewed AS m
    INNER JOIN exported_workbooks AS e USING (workbook_url_id)
    INNER JOIN days_of_pairs AS d ON hash(e.exported_id, m.user_email) = d.pair_key
    GROUP BY m.workbook_no, m.user_no
),

summed AS (
    SELECT
        m.*,
        sum(c.days) OVER (
            ORDER BY m.impressions_60d DESC, m.workbook_no, m.user_no ROWS UNBOUNDED PRECEDING
        ) AS days
    FROM most_viewed AS m
    INNER JOIN counted AS c USING (workbook_no, user_no)
)

SELECT
    workbook_url_id,
    user_email,
    row_number() OVER (ORDER BY workbook_no, user_no)::INTEGER AS pair_no
FROM summed
WHERE days <= $most_days
