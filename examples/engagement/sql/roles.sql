-- What Millstream gets. As superuser, with -v cdc_password=…

CREATE ROLE clients_cdc LOGIN REPLICATION PASSWORD :'cdc_password';
GRANT USAGE ON SCHEMA clients TO clients_cdc;
GRANT SELECT ON ALL TABLES IN SCHEMA clients TO clients_cdc;
CREATE PUBLICATION clients_publication FOR ALL TABLES;
