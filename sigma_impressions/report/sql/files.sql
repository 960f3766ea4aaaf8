-- The export files in one row: how many there are, of which file dates, with what rows, and how fresh; how many were
-- captured in all; and the impressions of 60 days. Captured is a file that was read or refused.
-- Reads:      export_files, publication, usage_by_day, resource_impressions, unmatched_impressions, daily_impressions
SELECT
    count(*) FILTER (status IN ('read', 'refused')) AS files,
    any_value(p.captured_files) AS files_in_all,
    count(*) FILTER (status = 'refused') AS refused,
    count(*) FILTER (status = 'unreadable') AS unreadable,
    count(*) FILTER (status = 'missing') AS missing,
    coalesce(sum(rows), 0)::BIGINT AS rows,
    coalesce(sum(accepted), 0)::BIGINT AS accepted,
    coalesce(sum(rejected), 0)::BIGINT AS rejected,
    coalesce(sum(skipped), 0)::BIGINT AS skipped,
    min(file_date) AS oldest_file_date,
    max(file_date) FILTER (status IN ('read', 'refused')) AS newest_file_date,
    max(captured_at) FILTER (status IN ('read', 'refused')) AS newest_captured_at,
    (
        SELECT max(last_impression_at)
        FROM (
            SELECT last_impression_at FROM resource_impressions
            UNION ALL
            SELECT last_impression_at FROM unmatched_impressions
        )
    ) AS newest_impression_at,
    (SELECT coalesce(sum(impressions), 0)::BIGINT FROM daily_impressions) AS impressions,
    (SELECT count(*) FROM usage_by_day) AS days,
    (SELECT count(*) FILTER (NOT is_captured) FROM usage_by_day) AS days_not_captured,
    (SELECT count(*) FILTER (is_captured AND impressions = 0) FROM usage_by_day) AS days_without_impressions
FROM publication AS p
LEFT JOIN export_files ON TRUE
