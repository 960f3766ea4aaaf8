-- The captured rows of the event dates that are built.
-- Reads:      normalized_impressions, captured_files (file_id, capture_id), dates_to_build (event_date)
CREATE OR REPLACE TEMP VIEW captured_impressions AS
SELECT event_date, event_id, file_id, request_time, user_email, workbook_url_id, element_id, count
FROM normalized_impressions
SEMI JOIN captured_files USING (file_id, capture_id)
WHERE event_date IN (SELECT event_date FROM dates_to_build)
