-- What the published database holds, in one row: resources, users, members, and the impressions of 60 days, matched or not.
-- Reads:      publication, resource_impressions, unmatched_impressions, user_activity, usage_summary
SELECT
    (SELECT as_of_date FROM publication) AS as_of_date,
    count(*) AS resources,
    count(*) FILTER (WHERE total_impressions_60d = 0) AS unused_resources,
    (SELECT count(*) FROM user_activity) AS users,
    -- Null where no members are known; of those who never came also where too little is captured to tell.
    (SELECT value::BIGINT FROM usage_summary WHERE metric = 'members') AS members,
    (SELECT value::BIGINT FROM usage_summary WHERE metric = 'never_seen_members') AS never_seen_members,
    (SELECT coalesce(sum(total_impressions_60d), 0)::BIGINT FROM unmatched_impressions) AS unmatched,
    coalesce(sum(total_impressions_60d), 0)::BIGINT AS matched
FROM resource_impressions
