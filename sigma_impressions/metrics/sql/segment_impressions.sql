-- Impressions per resource and user in each segment of time: the windows of all as-of dates that are computed are
-- made of whole segments, so the daily rows are read once for all of them. A segment is named by its last date.
-- Reads:      daily_impressions, segments (event_date, segment), viewed_resources, viewers
CREATE OR REPLACE TEMP TABLE segment_impressions AS
SELECT
    s.segment,
    r.resource_no,
    u.user_no,
    sum(d.impressions)::BIGINT AS impressions,
    min(d.first_impression_at) AS first_impression_at,
    max(d.last_impression_at) AS last_impression_at
FROM daily_impressions AS d
INNER JOIN segments AS s ON d.event_date = s.event_date
INNER JOIN viewed_resources AS r ON d.workbook_url_id = r.viewed_id AND d.element_id IS NOT DISTINCT FROM r.element_id
INNER JOIN viewers AS u ON d.user_email = u.user_email
GROUP BY s.segment, r.resource_no, u.user_no
