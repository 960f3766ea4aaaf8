-- The daily rows with the keys of keys_by_hash.sql, and the segment of time that they lie in. The windows of all
-- as-of dates that are computed are made of whole segments; a segment is named by its last date.
-- Reads:      daily_impressions, segments (event_date, segment)
-- Makes:      keyed_impressions
CREATE OR REPLACE TEMP VIEW keyed_impressions AS
SELECT
    s.segment,
    hash(d.workbook_url_id, d.element_id) AS view_key,
    hash(d.user_email) AS user_key,
    d.impressions,
    d.first_impression_at,
    d.last_impression_at
FROM daily_impressions AS d
INNER JOIN segments AS s ON d.event_date = s.event_date
