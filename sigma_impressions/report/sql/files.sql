-- The export files in one row: how many, with what rows, and how fresh.
-- Reads:      export_files, usage_by_day, resource_impressions, unmatched_impressions
SELECT
    count(*) AS files,
    count(*) FILTER (status = 'refused') AS refused,
    count(*) FILTER (status = 'unreadable') AS unreadable,
    coalesce(sum(rows), 0)::BIGINT AS rows,
    coalesce(sum(accepted), 0)::BIGINT AS accepted,
    coalesce(sum(rejected), 0)::BIGINT AS rejected,
    coalesce(sum(skipped), 0)::BIGINT AS skipped,
    max(file_date) AS newest_file_date,
    max(last_modified) AS newest_modified_at,
    max(captured_at) AS newest_captured_at,
    (
        SELECT max(last_impression_at)
        FROM (
            SELECT last_impression_at FROM resource_impressions
            UNION ALL
            SELECT last_impression_at FROM unmatched_impressions
        )
    ) AS newest_impression_at,
    (SELECT count(*) FROM usage_by_day) AS days,
    (SELECT count(*) FILTER (impressions = 0) FROM usage_by_day) AS days_without_impressions
FROM export_files
