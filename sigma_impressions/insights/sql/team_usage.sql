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
    SELECT *, dense_rank() OVER (ORDER BY people, team) AS team_no
    FROM (SELECT *, unnest(CASE people WHEN 'team' THEN teams ELSE [NULL] END) AS team FROM grouped)
),

figures AS (
    SELECT
        team_no,
        any_value(people) AS people,
        any_value(team) AS team,
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
    GROUP BY team_no
),

viewed AS (
    SELECT p.team_no, u.workbook_no, sum(u.impressions_60d) AS impressions
    FROM workbook_users AS u
    INNER JOIN people_of_teams AS p USING (user_email)
    SEMI JOIN present_workbooks AS w USING (workbook_url_id)
    GROUP BY p.team_no, u.workbook_no
),

most_viewed AS (
    SELECT team_no, count(*) AS workbooks, max(impressions) AS impressions
    FROM viewed
    GROUP BY team_no
),

-- Of several that were viewed as often the first.
top_numbers AS (
    SELECT m.team_no, m.workbooks, m.impressions::BIGINT AS impressions, min(v.workbook_no) AS workbook_no
    FROM most_viewed AS m
    INNER JOIN viewed AS v USING (team_no, impressions)
    GROUP BY ALL
),

workbook_names AS (
    SELECT DISTINCT workbook_no, workbook_url_id
    FROM workbook_users
),

top_workbooks AS (
    SELECT t.team_no, t.workbooks, t.impressions, n.workbook_url_id, p.name
    FROM top_numbers AS t
    INNER JOIN workbook_names AS n USING (workbook_no)
    INNER JOIN present_workbooks AS p USING (workbook_url_id)
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
    w.workbook_url_id AS top_workbook_url_id,
    w.name AS top_workbook_name,
    w.impressions AS top_workbook_impressions_60d,
    k.last_complete_day,
    f.complete_impressions_14d,
    f.previous_complete_impressions_14d,
    f.complete_impressions_14d::DOUBLE / nullif(f.previous_complete_impressions_14d, 0) - 1 AS trend_14d
FROM figures AS f
LEFT JOIN top_workbooks AS w USING (team_no)
CROSS JOIN what_is_known AS k
ORDER BY f.people DESC, f.team
