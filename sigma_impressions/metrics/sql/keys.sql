-- Numbers of 64 bits that stand for what was viewed, and for who viewed it, while millions of daily rows are grouped.
-- They come from the texts alone, so that no row needs a join before it is grouped. With another salt there are others.
-- Reads:      the variable salt
CREATE OR REPLACE TEMP MACRO key_of_view(workbook_url_id, element_id) AS
    hash(workbook_url_id, element_id, getvariable('salt'));
CREATE OR REPLACE TEMP MACRO key_of_user(user_email) AS
    hash(user_email, getvariable('salt'))
