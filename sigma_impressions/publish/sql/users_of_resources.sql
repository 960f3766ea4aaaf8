-- The rows of the users of all resources, as the lists of users have them, one resource after the other.
-- Reads:      published.resource_users
SELECT user_email, impressions_14d, impressions_30d, impressions_60d, first_impression_at, last_impression_at
FROM published.resource_users
