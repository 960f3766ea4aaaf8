-- The members as of the published date, with their age and whether they may use Sigma (docs/insights.md).
-- A member is as old as Sigma says, and has been there at least since a snapshot first held it, unless that is the
-- first snapshot of all.
-- Reads:      members
-- Parameters: $as_of, $young_days
CREATE OR REPLACE TEMP TABLE stated_members AS
WITH appeared AS (
    SELECT *, CASE WHEN first_seen_at > min(first_seen_at) OVER () THEN first_seen_at::DATE END AS appeared_on
    FROM members
),

aged AS (
    SELECT *, $as_of::DATE - coalesce(created_at::DATE, appeared_on) AS age_days
    FROM appeared
)

SELECT
    member_id,
    user_email,
    name,
    account_type,
    kind,
    list_sort(list_distinct(teams)) AS teams,
    created_at,
    age_days::INTEGER AS age_days,
    is_active IS NOT FALSE AND is_deleted IS NOT TRUE AND coalesce(age_days >= 0, TRUE) AS may_use_sigma,
    least(age_days, $as_of::DATE - appeared_on) >= $young_days IS FALSE AS is_young
FROM aged
