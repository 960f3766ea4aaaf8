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
    g.* EXCLUDE (group_no, grouped_by, group_name, depth)
FROM group_usage AS g
LEFT JOIN people AS p ON g.group_name = p.user_email
CROSS JOIN what_is_known AS k
WHERE g.grouped_by = 'owner'
ORDER BY g.unused_workbooks_60d DESC, g.group_name NULLS LAST
