-- What the published database holds, in one row: resources, users, members, the impressions of 60 days, matched or not,
-- and those of 14 complete days with those before.
-- Reads:      publication, resource_impressions, unmatched_impressions, user_activity, usage_summary
SELECT
    (SELECT as_of_date FROM publication) AS as_of_date,
    count(r.resource_type) AS resources,
    count(*) FILTER (WHERE r.total_impressions_60d = 0) AS unused_resources,
    (SELECT count(*) FROM user_activity) AS users,
    -- Null where no members are known; of those who never came also where too little is captured to tell.
    (SELECT value::BIGINT FROM usage_summary WHERE metric = 'members') AS members,
    (SELECT value::BIGINT FROM usage_summary WHERE metric = 'never_seen_members') AS never_seen_members,
    (SELECT coalesce(sum(total_impressions_60d), 0)::BIGINT FROM unmatched_impressions) AS unmatched,
    coalesce(sum(r.total_impressions_60d), 0)::BIGINT AS matched,
    any_value(c.last_complete_day) AS last_complete_day,
    any_value(c.complete_value)::BIGINT AS complete_impressions_14d,
    any_value(c.previous_complete_value)::BIGINT AS previous_complete_impressions_14d,
    any_value(c.not_compared_because) AS not_compared_because
FROM (FROM usage_summary WHERE metric = 'impressions_14d') AS c
LEFT JOIN resource_impressions AS r ON TRUE
