-- The daily rows with their resource and user as numbers, and the segment of time that they lie in. The windows of all
-- as-of dates that are computed are made of whole segments; a segment is named by its last date.
-- Reads:      daily_impressions, segments (event_date, segment), viewed_resources, viewers
CREATE OR REPLACE TEMP VIEW numbered_impressions AS
SELECT
    s.segment,
    r.resource_no,
    u.user_no,
    d.impressions,
    d.first_impression_at,
    d.last_impression_at
FROM daily_impressions AS d
INNER JOIN segments AS s ON d.event_date = s.event_date
INNER JOIN viewed_resources AS r ON d.workbook_url_id = r.viewed_id AND d.element_id IS NOT DISTINCT FROM r.element_id
INNER JOIN viewers AS u ON d.user_email = u.user_email
