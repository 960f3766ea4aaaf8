-- The captured rows of the event dates that are built.
-- Reads:      normalized_impressions, captured_files (file_id, capture_id, file_no), dates_to_build (event_date)
CREATE OR REPLACE TEMP VIEW captured_impressions AS
SELECT n.event_date, n.event_id, f.file_no, n.request_time, n.user_email, n.workbook_url_id, n.element_id, n.count
FROM normalized_impressions AS n
INNER JOIN captured_files AS f USING (file_id, capture_id)
WHERE n.event_date IN (SELECT event_date FROM dates_to_build)
