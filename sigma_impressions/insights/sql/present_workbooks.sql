-- The workbooks that are neither archived nor deleted, with the views of their elements. Those of complete days are
-- null where these are not known.
-- Reads:      resource_impressions (of the as-of date), published.daily_impressions, underused, what_is_known
-- Parameter:  $as_of
CREATE OR REPLACE TEMP TABLE present_workbooks AS
WITH complete_days AS (
    SELECT
        d.workbook_url_id,
        sum(d.impressions) FILTER (WHERE d.event_date > k.last_complete_day - 14) AS now,
        sum(d.impressions) FILTER (WHERE d.event_date <= k.last_complete_day - 14) AS before
    FROM published.daily_impressions AS d
    CROSS JOIN what_is_known AS k
    WHERE d.event_date BETWEEN k.last_complete_day - 27 AND k.last_complete_day
    GROUP BY d.workbook_url_id
)

SELECT
    r.workbook_url_id,
    r.workbook_id,
    r.name,
    r.path,
    r.owner_email,
    r.total_impressions_with_elements_14d AS impressions_14d,
    r.total_impressions_with_elements_30d AS impressions_30d,
    r.total_impressions_with_elements_60d AS impressions_60d,
    u.workbook_url_id IS NOT NULL AS is_underused,
    CASE WHEN k.has_complete_days THEN coalesce(c.now, 0)::BIGINT END AS complete_impressions,
    CASE WHEN k.has_previous_days THEN coalesce(c.before, 0)::BIGINT END AS previous_impressions
FROM resource_impressions AS r
LEFT JOIN complete_days AS c USING (workbook_url_id)
LEFT JOIN underused AS u
    ON
        u.as_of_date = $as_of::DATE
        AND r.workbook_url_id = u.workbook_url_id
        AND u.resource_type = 'sigma_workbook'
CROSS JOIN what_is_known AS k
WHERE r.resource_type = 'sigma_workbook' AND r.is_archived IS NOT TRUE AND r.is_deleted IS NOT TRUE
