-- Impressions of each workbook by each person, and by nobody, on each day. Of the pairs that daily_users leaves out: what
-- is left of a workbook's impressions on the day, by the people who are others, and what is left of a person's, of the
-- workbooks that are others. Days are counted from the first of the 60.
-- Reads:      daily_impressions, daily_users, workbooks (as shown), people (as shown), publication
-- Parameters: $nobody, $others and $other_workbooks, the numbers that stand for them
WITH told AS (
    SELECT
        w.workbook_no,
        CASE WHEN d.user_email IS NULL THEN $nobody::BIGINT ELSE p.person_no END AS person_no,
        d.event_date,
        d.impressions
    FROM daily_users AS d
    INNER JOIN workbooks AS w USING (workbook_url_id)
    LEFT JOIN people AS p USING (user_email)
),

left_out AS (
    SELECT workbook_no, event_date, sum(impressions) AS impressions
    FROM (
        SELECT w.workbook_no, d.event_date, d.impressions
        FROM daily_impressions AS d
        INNER JOIN workbooks AS w USING (workbook_url_id)
        UNION ALL
        SELECT workbook_no, event_date, -impressions
        FROM told
    )
    GROUP BY workbook_no, event_date
    HAVING sum(impressions) > 0
),

of_other_workbooks AS (
    SELECT $other_workbooks::BIGINT AS workbook_no, p.person_no, d.event_date, d.impressions
    FROM daily_users AS d
    INNER JOIN people AS p USING (user_email)
    WHERE d.workbook_url_id IS NULL
),

facts AS (
    FROM told
    UNION ALL BY NAME
    FROM of_other_workbooks
    UNION ALL BY NAME
    SELECT workbook_no, $others::BIGINT AS person_no, event_date, impressions
    FROM left_out
)

SELECT
    f.workbook_no::UINTEGER AS workbook_no,
    f.person_no::UINTEGER AS person_no,
    (f.event_date - (p.as_of_date - 59))::UTINYINT AS day,
    f.impressions::UINTEGER AS impressions
FROM facts AS f
CROSS JOIN publication AS p
ORDER BY ALL
