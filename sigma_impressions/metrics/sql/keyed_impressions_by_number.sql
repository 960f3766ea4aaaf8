-- What keyed_impressions_by_hash.sql makes, with the keys of keys_by_number.sql.
-- Reads:      daily_impressions, view_keys, user_keys
-- Makes:      keyed_impressions
CREATE OR REPLACE TEMP VIEW keyed_impressions AS
SELECT
    d.event_date,
    v.view_key,
    u.user_key,
    d.impressions,
    d.first_impression_at,
    d.last_impression_at
FROM daily_impressions AS d
INNER JOIN view_keys AS v ON d.workbook_url_id = v.exported_id AND d.element_id IS NOT DISTINCT FROM v.element_id
INNER JOIN user_keys AS u ON d.user_email IS NOT DISTINCT FROM u.user_email
