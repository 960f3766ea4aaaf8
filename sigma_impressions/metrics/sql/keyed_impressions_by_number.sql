-- What keyed_impressions_by_hash.sql makes, with the keys of keys_by_number.sql.
-- Reads:      named_impressions, view_keys, user_keys
-- Makes:      keyed_impressions
CREATE OR REPLACE TEMP VIEW keyed_impressions AS
SELECT v.view_key, u.user_key, n.* EXCLUDE (workbook_url_id, element_id, user_email)
FROM named_impressions AS n
INNER JOIN view_keys AS v
    ON n.workbook_url_id IS NOT DISTINCT FROM v.workbook_url_id AND n.element_id IS NOT DISTINCT FROM v.element_id
INNER JOIN user_keys AS u ON n.user_email IS NOT DISTINCT FROM u.user_email
