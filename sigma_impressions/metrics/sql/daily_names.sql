-- What the daily rows name: every workbook and element, with the resource that it is.
-- Reads:      daily_impressions, resource_ids
-- Makes:      named_impressions, named_views
CREATE OR REPLACE TEMP VIEW named_impressions AS
FROM daily_impressions;

CREATE OR REPLACE TEMP VIEW named_views AS
SELECT exported_id AS workbook_url_id, element_id, resource_no, has_several_ids
FROM resource_ids
