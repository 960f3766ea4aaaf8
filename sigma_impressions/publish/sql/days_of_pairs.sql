-- On how many days each user viewed what the exports call a workbook. Both are one number here, as millions of rows are
-- grouped by a number in a quarter of the time. Should two pairs share it, one has too many days, which only counts
-- for the bound of what is published.
-- Reads:      daily_impressions
-- Parameter:  $as_of
CREATE OR REPLACE TEMP TABLE days_of_pairs AS
SELECT pair_key, bit_count(bit_or(day_bit)) AS days
FROM (
    SELECT
        hash(workbook_url_id, user_email) AS pair_key,
        1::BIGINT << (event_date - ($as_of::DATE - 59)) AS day_bit
    FROM daily_impressions
    WHERE user_email IS NOT NULL
)
GROUP BY pair_key
