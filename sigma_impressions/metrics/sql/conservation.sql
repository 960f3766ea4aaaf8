-- Impressions counted, attached and unmatched in each window (docs/tables-and-metrics.md, "Conservation").
-- Counted comes from the daily tables and attached from the finished result, so that a join that loses or
-- doubles rows between the two shows.
-- Reads:      impressions_of_days, resource_impressions, viewed_by_user, resource_numbers
-- Parameter:  $as_of
WITH counted AS (
    SELECT
        coalesce(sum(impressions) FILTER (WHERE event_date > $as_of::DATE - 14), 0)::BIGINT AS impressions_14d,
        coalesce(sum(impressions) FILTER (WHERE event_date > $as_of::DATE - 30), 0)::BIGINT AS impressions_30d,
        coalesce(sum(impressions), 0)::BIGINT AS impressions_60d
    FROM impressions_of_days
    WHERE event_date BETWEEN $as_of::DATE - 59 AND $as_of::DATE
),

attached AS (
    SELECT
        coalesce(sum(total_impressions_14d), 0)::BIGINT AS matched_impressions_14d,
        coalesce(sum(total_impressions_30d), 0)::BIGINT AS matched_impressions_30d,
        coalesce(sum(total_impressions_60d), 0)::BIGINT AS matched_impressions_60d
    FROM resource_impressions
),

unmatched AS (
    SELECT
        coalesce(sum(impressions_14d), 0)::BIGINT AS unmatched_impressions_14d,
        coalesce(sum(impressions_30d), 0)::BIGINT AS unmatched_impressions_30d,
        coalesce(sum(impressions_60d), 0)::BIGINT AS unmatched_impressions_60d
    FROM viewed_by_user
    INNER JOIN resource_numbers USING (resource_no)
    WHERE NOT resource_is_known
)

SELECT *
FROM counted
CROSS JOIN attached
CROSS JOIN unmatched
