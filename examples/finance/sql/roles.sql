-- What the database's owner gives to Millstream, and no more: a role that may replicate and read, a publication, a slot.
--
-- Run it as a superuser, with the role's password in the variable `cdc_password`:
--   psql -d finance_db -v cdc_password=… -f sql/roles.sql

CREATE ROLE cdc_user LOGIN REPLICATION PASSWORD :'cdc_password';
GRANT USAGE ON SCHEMA operations TO cdc_user;
GRANT SELECT ON ALL TABLES IN SCHEMA operations TO cdc_user;
-- Tables that come later are read too.
ALTER DEFAULT PRIVILEGES IN SCHEMA operations GRANT SELECT ON TABLES TO cdc_user;

CREATE PUBLICATION cdc_publication FOR ALL TABLES;

-- Made by hand, as where Debezium ran before: Millstream uses a slot that exists.
DO $$ BEGIN PERFORM pg_create_logical_replication_slot('cdc_pgoutput', 'pgoutput'); END $$;
