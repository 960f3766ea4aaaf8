-- Rejected rows by reason, most frequent first.
-- Reads:      rejected_rows
SELECT reason, count(*) AS rows, count(DISTINCT (key, version)) AS files
FROM rejected_rows
GROUP BY reason
ORDER BY rows DESC, reason
