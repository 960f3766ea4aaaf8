-- The resources as of the dates that the summary compares.
-- Reads:      resource_impressions (as of earlier dates)
-- Parameter:  $compared, the dates
CREATE OR REPLACE TEMP TABLE earlier_resources AS
SELECT * EXCLUDE (fingerprint)
FROM resource_impressions
WHERE list_contains($compared::DATE[], as_of_date)
