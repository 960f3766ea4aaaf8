-- What the published database holds, in one row: resources, users, and the impressions of 60 days, matched or not.
-- Reads:      publication, resource_impressions, unmatched_impressions, user_activity
SELECT
    (SELECT as_of_date FROM publication) AS as_of_date,
    count(*) AS resources,
    count(*) FILTER (WHERE total_impressions_60d = 0) AS unused_resources,
    (SELECT count(*) FROM user_activity) AS users,
    (SELECT coalesce(sum(total_impressions_60d), 0)::BIGINT FROM unmatched_impressions) AS unmatched,
    coalesce(sum(total_impressions_60d), 0)::BIGINT AS matched
FROM resource_impressions
