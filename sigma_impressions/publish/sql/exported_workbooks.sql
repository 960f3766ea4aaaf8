-- The workbooks that were viewed, by what the exports call them.
-- Reads:      resource_ids
CREATE OR REPLACE TEMP TABLE exported_workbooks AS
SELECT DISTINCT exported_id, workbook_url_id
FROM resource_ids
