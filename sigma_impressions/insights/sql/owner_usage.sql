-- How the workbooks of each owner are used, with what is known of the owner as a member (docs/insights.md).
-- Reads:      group_usage, people, what_is_known
-- Makes:      published.owner_usage
-- Parameter:  $as_of
CREATE TABLE published.owner_usage AS
SELECT
    $as_of::DATE AS as_of_date,
    g.group_name AS owner_email,
    p.name AS owner_name,
    p.teams AS owner_teams,
    CASE WHEN k.has_members AND g.group_name IS NOT NULL THEN coalesce(p.may_use_sigma, FALSE) END AS owner_may_use_sigma,
    g.workbooks,
    g.used_workbooks_60d,
    g.unused_workbooks_60d,
    g.underused_workbooks,
    g.impressions_14d,
    g.impressions_30d,
    g.impressions_60d,
    g.viewers_14d,
    g.viewers_30d,
    g.viewers_60d,
    g.top_workbook.url_id AS top_workbook_url_id,
    g.top_workbook.name AS top_workbook_name,
    g.top_workbook.impressions AS top_workbook_impressions_60d,
    k.last_complete_day,
    g.complete_impressions_14d,
    g.previous_complete_impressions_14d,
    g.complete_impressions_14d::DOUBLE / nullif(g.previous_complete_impressions_14d, 0) - 1 AS trend_14d
FROM group_usage AS g
LEFT JOIN people AS p ON g.group_name = p.user_email
CROSS JOIN what_is_known AS k
WHERE g.grouped_by = 'owner'
ORDER BY g.unused_workbooks_60d DESC, g.group_name NULLS LAST
