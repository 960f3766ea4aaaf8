-- Everybody who viewed anything in the 60 days, by rank, and behind them the other members who may use Sigma.
-- Reads:      active_users
SELECT
    user_email,
    name,
    tier,
    is_new,
    account_type,
    kind,
    teams,
    is_member,
    may_use_sigma,
    age_days,
    first_impression_at,
    last_impression_at
FROM active_users
ORDER BY rank NULLS LAST, user_email
