-- Whom to ask about what nobody opens: the newest as-of date alone, and workbooks that Sigma still shows.
WITH present AS (
    SELECT *
    FROM {{ source('sigma_impressions', 'popular_resources') }}
    WHERE resource_type = 'sigma_workbook'
        AND as_of_date = (SELECT max(as_of_date) FROM {{ source('sigma_impressions', 'popular_resources') }})
),

-- Owners as users are, trimmed and in lower case, so that one is not two.
owned AS (
    SELECT
        present.as_of_date,
        nullif(lower(trim(present.owner_email)), '') AS owner_email,
        present.workbook_url_id,
        present.name AS workbook_name,
        present.path,
        present.url,
        described.created_at,
        present.last_impression_at,
        present.total_impressions_60d
    FROM present
    LEFT JOIN {{ source('sigma_impressions', 'resource_impressions') }} AS described
        ON present.as_of_date = described.as_of_date
        AND present.resource_type = described.resource_type
        AND present.workbook_url_id = described.workbook_url_id
),

of_owner AS (
    SELECT
        owned.*,
        count(*) OVER (PARTITION BY owner_email) AS workbooks_of_owner,
        sum(CASE WHEN total_impressions_60d = 0 THEN 1 ELSE 0 END) OVER (PARTITION BY owner_email)
            AS unused_workbooks_of_owner
    FROM owned
)

SELECT
    as_of_date,
    owner_email,
    workbook_url_id,
    workbook_name,
    path,
    url,
    created_at,
    last_impression_at,
    workbooks_of_owner,
    unused_workbooks_of_owner
FROM of_owner
WHERE total_impressions_60d = 0
