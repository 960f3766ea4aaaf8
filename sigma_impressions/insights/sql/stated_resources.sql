-- The resources as of the published date and those that the summary compares.
-- Reads:      resource_impressions (of the as-of date), earlier_resources
CREATE OR REPLACE TEMP VIEW stated_resources AS
SELECT * EXCLUDE (fingerprint)
FROM resource_impressions
UNION ALL BY NAME
FROM earlier_resources
