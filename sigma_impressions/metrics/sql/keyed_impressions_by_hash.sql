-- The daily rows with the keys of keys_by_hash.sql.
-- Reads:      daily_impressions
-- Makes:      keyed_impressions
CREATE OR REPLACE TEMP VIEW keyed_impressions AS
SELECT
    d.event_date,
    hash(d.workbook_url_id, d.element_id) AS view_key,
    hash(d.user_email) AS user_key,
    d.impressions,
    d.first_impression_at,
    d.last_impression_at
FROM daily_impressions AS d
