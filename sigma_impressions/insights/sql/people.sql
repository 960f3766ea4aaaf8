-- The members with an address, one for each: of several the one who may use Sigma, then the newest.
-- Reads:      stated_members
CREATE OR REPLACE TEMP TABLE people AS
SELECT *
FROM stated_members
WHERE user_email IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY user_email ORDER BY may_use_sigma DESC, age_days NULLS LAST, member_id) = 1
