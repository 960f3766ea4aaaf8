-- What was viewed on the days that are read, and before them, as the exports or the resources of the time name it.
-- Reads:      daily_totals, earlier_views
-- Makes:      exported_ids
CREATE OR REPLACE TEMP VIEW exported_ids AS
SELECT workbook_url_id, element_id
FROM daily_totals
WHERE workbook_url_id IS NOT NULL
UNION
SELECT workbook_url_id, element_id
FROM earlier_views
