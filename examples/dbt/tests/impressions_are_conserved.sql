-- As of every date: what was counted in its 60 days is attached to a resource, or unmatched. Nothing is lost, and
-- nothing is there twice.
WITH attached AS (
    SELECT as_of_date, sum(total_impressions_60d) AS impressions
    FROM {{ source('sigma_impressions', 'resource_impressions') }}
    GROUP BY as_of_date
),

unmatched AS (
    SELECT as_of_date, sum(total_impressions_60d) AS impressions
    FROM {{ source('sigma_impressions', 'unmatched_impressions') }}
    GROUP BY as_of_date
),

of_day AS (
    SELECT event_date, sum(impressions) AS impressions
    FROM {{ source('sigma_impressions', 'daily_impressions') }}
    GROUP BY event_date
),

counted AS (
    SELECT attached.as_of_date, sum(of_day.impressions) AS impressions
    FROM attached
    INNER JOIN of_day ON {{ dbt.datediff('of_day.event_date', 'attached.as_of_date', 'day') }} BETWEEN 0 AND 59
    GROUP BY attached.as_of_date
)

SELECT
    attached.as_of_date,
    coalesce(counted.impressions, 0) AS counted,
    attached.impressions AS attached,
    coalesce(unmatched.impressions, 0) AS unmatched
FROM attached
LEFT JOIN unmatched ON attached.as_of_date = unmatched.as_of_date
LEFT JOIN counted ON attached.as_of_date = counted.as_of_date
WHERE coalesce(counted.impressions, 0) <> attached.impressions + coalesce(unmatched.impressions, 0)
