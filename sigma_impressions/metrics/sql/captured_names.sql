-- What the captured rows name: every workbook and element, numbered in the order of their names, and every user.
-- Reads:      captured_impressions
-- Makes:      named_impressions, named_views, named_users
CREATE OR REPLACE TEMP VIEW named_impressions AS
FROM captured_impressions;

CREATE OR REPLACE TEMP TABLE named_views AS
SELECT row_number() OVER (ORDER BY workbook_url_id, element_id)::INTEGER AS view_no, workbook_url_id, element_id
FROM (SELECT DISTINCT workbook_url_id, element_id FROM captured_impressions);

CREATE OR REPLACE TEMP VIEW named_users AS
SELECT DISTINCT user_email
FROM captured_impressions
WHERE user_email IS NOT NULL
