-- The usage that differs from what a catalog was sent last. Days that were sent with views and have none any more,
-- because they were restated, are among it with zeroes; entities that are gone from Sigma are not.
-- Reads:      entity_usage, sent (resource_type, entity_id, event_date, digest)
-- Parameter:  $first, the first event date that has rows of its own
WITH changed AS (
    SELECT u.* EXCLUDE (digest)
    FROM entity_usage AS u
    ANTI JOIN sent AS s
        ON
            u.resource_type = s.resource_type
            AND u.entity_id = s.entity_id
            AND u.event_date IS NOT DISTINCT FROM s.event_date
            AND u.digest = s.digest
),

restated AS (
    SELECT s.resource_type, s.entity_id, s.event_date
    FROM sent AS s
    SEMI JOIN entity_usage AS e
        ON s.resource_type = e.resource_type AND s.entity_id = e.entity_id AND e.event_date IS NULL
    ANTI JOIN entity_usage AS u
        ON s.resource_type = u.resource_type AND s.entity_id = u.entity_id AND s.event_date = u.event_date
    WHERE s.event_date >= $first
)

FROM changed
UNION ALL BY NAME
SELECT *, 0::BIGINT AS impressions, 0::BIGINT AS distinct_users, NULL::TIMESTAMPTZ AS last_impression_at, [] AS used
FROM restated
ORDER BY resource_type DESC, entity_id, event_date NULLS FIRST
