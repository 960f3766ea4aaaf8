-- The users as of the dates that the summary compares.
-- Reads:      user_activity (as of earlier dates)
-- Parameter:  $compared, the dates
CREATE OR REPLACE TEMP TABLE earlier_activity AS
SELECT * EXCLUDE (fingerprint)
FROM user_activity
WHERE list_contains($compared::DATE[], as_of_date)
