-- The resources that were viewed, once each, whatever the exports call them.
-- Reads:      viewed_resources
CREATE OR REPLACE TEMP TABLE viewed AS
SELECT DISTINCT resource_no, workbook_no, workbook_url_id, element_id, workbook_is_known, resource_is_known
FROM viewed_resources
