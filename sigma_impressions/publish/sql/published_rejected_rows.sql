-- Rejected rows of the published export files, each with the key and version of its file.
-- Reads:      rejected_rows, files
-- Makes:      published.rejected_rows
CREATE TABLE published.rejected_rows AS
SELECT f.key, f.version, f.file_date, r.row_number, r.reason, r.text
FROM rejected_rows AS r
INNER JOIN files AS f USING (file_id, capture_id)
ORDER BY f.file_date, f.key, f.version, r.row_number
