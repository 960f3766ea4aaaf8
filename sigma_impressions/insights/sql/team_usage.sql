-- How each team uses Sigma, and those who are in none (docs/insights.md). Who is in several teams counts in each.
-- Reads:      users_and_members, workbook_users, present_workbooks, what_is_known
-- Makes:      published.team_usage
-- Parameter:  $as_of
CREATE TABLE published.team_usage AS
WITH grouped AS (
    SELECT
        *,
        CASE
            WHEN NOT is_member THEN 'no_member'
            WHEN NOT may_use_sigma THEN 'inactive_member'
            WHEN teams IS NULL THEN 'teams_unknown'
            WHEN teams = [] THEN 'no_team'
            ELSE 'team'
        END AS people
    FROM users_and_members
    WHERE is_member IS NOT NULL
),

people_of_teams AS (
    SELECT *, unnest(CASE people WHEN 'team' THEN teams ELSE [NULL] END) AS team
    FROM grouped
),

figures AS (
    SELECT
        people,
        team,
        count(*) AS members,
        count(*) FILTER (WHERE active_days_14d > 0) AS active_members_14d,
        count(*) FILTER (WHERE active_days_30d > 0) AS active_members_30d,
        count(*) FILTER (WHERE active_days_60d > 0) AS active_members_60d,
        count(*) FILTER (WHERE tier = 'never') AS never_seen_members,
        sum(impressions_14d)::BIGINT AS impressions_14d,
        sum(impressions_30d)::BIGINT AS impressions_30d,
        sum(impressions_60d)::BIGINT AS impressions_60d,
        sum(complete_impressions)::BIGINT AS complete_impressions_14d,
        sum(previous_impressions)::BIGINT AS previous_complete_impressions_14d
    FROM people_of_teams
    GROUP BY people, team
),

viewed AS (
    SELECT p.people, p.team, u.workbook_url_id, sum(u.impressions_60d)::BIGINT AS impressions
    FROM workbook_users AS u
    INNER JOIN people_of_teams AS p USING (user_email)
    GROUP BY p.people, p.team, u.workbook_url_id
),

workbooks AS (
    SELECT
        v.people,
        v.team,
        count(*) AS workbooks,
        arg_min(
            {'url_id': v.workbook_url_id, 'name': w.name, 'impressions': v.impressions},
            (-v.impressions, v.workbook_url_id)
        ) AS top_workbook
    FROM viewed AS v
    INNER JOIN present_workbooks AS w USING (workbook_url_id)
    GROUP BY v.people, v.team
)

SELECT
    $as_of::DATE AS as_of_date,
    f.people,
    f.team,
    f.members,
    f.active_members_14d,
    f.active_members_30d,
    f.active_members_60d,
    f.never_seen_members,
    f.impressions_14d,
    f.impressions_30d,
    f.impressions_60d,
    coalesce(w.workbooks, 0) AS distinct_workbooks_60d,
    w.top_workbook.url_id AS top_workbook_url_id,
    w.top_workbook.name AS top_workbook_name,
    w.top_workbook.impressions AS top_workbook_impressions_60d,
    k.last_complete_day,
    f.complete_impressions_14d,
    f.previous_complete_impressions_14d,
    f.complete_impressions_14d::DOUBLE / nullif(f.previous_complete_impressions_14d, 0) - 1 AS trend_14d
FROM figures AS f
LEFT JOIN workbooks AS w ON f.people = w.people AND f.team IS NOT DISTINCT FROM w.team
CROSS JOIN what_is_known AS k
ORDER BY f.people DESC, f.team
