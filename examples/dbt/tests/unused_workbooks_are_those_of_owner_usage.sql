-- The model finds as many unused workbooks of an owner as `owner_usage` counts.
WITH listed AS (
    SELECT as_of_date, owner_email, count(*) AS workbooks
    FROM {{ ref('unused_workbooks_by_owner') }}
    GROUP BY as_of_date, owner_email
),

counted AS (
    SELECT as_of_date, owner_email, unused_workbooks_60d AS workbooks
    FROM {{ source('sigma_impressions', 'owner_usage') }}
    WHERE as_of_date = (SELECT max(as_of_date) FROM {{ source('sigma_impressions', 'owner_usage') }})
        AND unused_workbooks_60d > 0
)

SELECT
    counted.as_of_date,
    counted.owner_email,
    counted.workbooks AS counted,
    listed.workbooks AS listed
FROM counted
FULL OUTER JOIN listed
    ON counted.as_of_date = listed.as_of_date
    AND coalesce(counted.owner_email, '') = coalesce(listed.owner_email, '')
WHERE coalesce(counted.workbooks, 0) <> coalesce(listed.workbooks, 0)
