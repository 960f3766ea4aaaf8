-- The key of every user, and their number.
-- Reads:      viewers, key_of_user
CREATE OR REPLACE TEMP TABLE user_keys AS
SELECT key_of_user(user_email) AS user_key, user_no
FROM viewers
