-- The workbooks that rose or fell from the week before to this one, the most moved first: up to $most of each, and how
-- many there are. The rule is that of `movement` in popular_resources, for a week; what came from or went to nothing
-- has moved too.
-- Reads:      popular_resources, daily_impressions
-- Parameters: $first, the first day of the week, $last, its last one, $first_before, that of the week before,
--             $moved_share, $moved_impressions, $most
WITH weeks AS (
    SELECT
        workbook_url_id,
        coalesce(sum(impressions) FILTER (WHERE event_date >= $first::DATE), 0)::BIGINT AS now,
        coalesce(sum(impressions) FILTER (WHERE event_date < $first::DATE), 0)::BIGINT AS before
    FROM daily_impressions
    WHERE event_date BETWEEN $first_before::DATE AND $last::DATE
    GROUP BY workbook_url_id
)

SELECT
    now > before AS is_rising,
    coalesce(p.name, p.workbook_url_id) AS name,
    w.now,
    w.before,
    count(*) OVER (PARTITION BY is_rising) AS of_them
FROM weeks AS w
INNER JOIN popular_resources AS p ON w.workbook_url_id = p.workbook_url_id AND p.resource_type = 'sigma_workbook'
WHERE abs(w.now - w.before) >= greatest($moved_share * w.before, $moved_impressions)
QUALIFY row_number() OVER (PARTITION BY is_rising ORDER BY abs(w.now - w.before) DESC, w.workbook_url_id) <= $most
ORDER BY is_rising DESC, abs(w.now - w.before) DESC, w.workbook_url_id
