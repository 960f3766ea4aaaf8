-- What is known at all, in one row. Where there is nobody who could say since when views are captured, the days do.
-- Reads:      publication, active_users, usage_by_day, sigma_members, page_usage
SELECT
    as_of_date,
    coalesce(
        (SELECT any_value(captured_since) FROM active_users),
        (SELECT min(event_date) FROM usage_by_day WHERE is_captured)
    ) AS captured_since,
    EXISTS (FROM sigma_members) AS has_members,
    EXISTS (FROM page_usage) AS has_pages
FROM publication
