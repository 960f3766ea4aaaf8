-- The owners of workbooks, with what there is to tell them; null is the one of workbooks without an owner.
-- Reads:      owner_usage
SELECT
    as_of_date,
    owner_email,
    owner_name,
    owner_may_use_sigma,
    workbooks,
    used_workbooks_60d,
    unused_workbooks_60d,
    underused_workbooks,
    impressions_60d,
    viewers_60d
FROM owner_usage
ORDER BY unused_workbooks_60d DESC, owner_email NULLS LAST
