-- The resources without data models and their elements, which catalogs have no usage of.
-- Reads:      sigma_resources
-- Makes:      resources
CREATE OR REPLACE TEMP VIEW resources AS
FROM sigma_resources
WHERE workbook_url_id NOT IN (SELECT workbook_url_id FROM sigma_resources WHERE resource_type = 'sigma_data_model')
