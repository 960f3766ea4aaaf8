-- The files that were refused or could not be read, newest first.
-- Reads:      export_files
SELECT status, file_date, key, reason, detail
FROM export_files
WHERE status IN ('refused', 'unreadable')
ORDER BY status, file_date DESC, key, version
