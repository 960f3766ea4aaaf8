-- What was viewed on the days that are read, as the exports name it.
-- Reads:      daily_totals
CREATE OR REPLACE TEMP VIEW exported_ids AS
SELECT DISTINCT workbook_url_id, element_id
FROM daily_totals
WHERE workbook_url_id IS NOT NULL
