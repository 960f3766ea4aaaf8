-- The key of everything that was viewed, as the exports name it, and which resource that is.
-- Reads:      viewed_resources, key_of_view
CREATE OR REPLACE TEMP TABLE view_keys AS
SELECT key_of_view(viewed_id, element_id) AS view_key, resource_no, has_several_ids
FROM viewed_resources
