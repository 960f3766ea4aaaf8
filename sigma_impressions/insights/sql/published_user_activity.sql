-- The activity of every user as of the published date, with what is known of each as a member.
-- Reads:      user_activity (of the as-of date), people, members
-- Makes:      published.user_activity
CREATE TABLE published.user_activity AS
SELECT
    a.* EXCLUDE (fingerprint),
    CASE WHEN EXISTS (FROM members) THEN p.user_email IS NOT NULL END AS is_member,
    p.name,
    p.account_type,
    p.kind,
    p.teams
FROM user_activity AS a
LEFT JOIN people AS p USING (user_email)
ORDER BY a.user_email
