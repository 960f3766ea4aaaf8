-- The refused files, newest first.
-- Reads:      export_files
SELECT file_date, key, reason, detail
FROM export_files
WHERE status = 'refused'
ORDER BY file_date DESC, key, version
