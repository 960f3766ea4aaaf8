-- The resources that were viewed, once each, whatever the exports call them.
-- Reads:      resource_ids
CREATE OR REPLACE TEMP TABLE resource_numbers AS
SELECT DISTINCT resource_no, workbook_no, workbook_url_id, element_id, workbook_is_known, resource_is_known
FROM resource_ids
