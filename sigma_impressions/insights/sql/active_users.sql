-- How active each user of the 60 days is, and each member who may use Sigma (docs/insights.md).
-- Reads:      users_and_members, what_is_known
-- Makes:      published.active_users
-- Parameter:  $as_of
CREATE TABLE published.active_users AS
SELECT
    $as_of::DATE AS as_of_date,
    u.user_email,
    u.tier,
    -- Unless the 14 days before were captured too, nobody can be told from those who were there before.
    coalesce(u.first_impression_at::DATE > $as_of::DATE - 14 AND k.captured_since <= $as_of::DATE - 27, FALSE) AS is_new,
    u.impressions_60d,
    u.impressions_14d,
    u.active_days_60d,
    u.active_days_30d,
    u.active_days_14d,
    u.first_impression_at,
    u.last_impression_at,
    u.distinct_workbooks_60d,
    u.rank::INTEGER AS rank,
    coalesce(u.impressions::DOUBLE / u.impressions_of_all, 0) AS share_of_impressions,
    CASE
        WHEN u.row_rank IS NOT NULL
            THEN sum(u.impressions) OVER (ORDER BY u.row_rank)::DOUBLE / u.impressions_of_all
    END AS cumulative_share,
    u.is_member,
    u.may_use_sigma,
    u.name,
    u.account_type,
    u.kind,
    u.teams,
    u.created_at,
    u.age_days,
    k.captured_since
FROM users_and_members AS u
CROSS JOIN what_is_known AS k
WHERE u.row_rank IS NOT NULL OR u.may_use_sigma
ORDER BY u.row_rank, u.user_email
