-- The triggers and the slot: from here on every change of the tables of the schema `shop` is recorded.

DO $$
DECLARE
    relation text;
BEGIN
    FOR relation IN SELECT oid::regclass FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    LOOP
        EXECUTE format('CREATE TRIGGER note_row AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION audit.note_row(%L)', relation, relation);
        EXECUTE format('CREATE TRIGGER note_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION audit.note_row(%L)', relation, relation);
    END LOOP;
END $$;
CREATE EVENT TRIGGER note_ddl ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION audit.note_ddl();

-- Before the first row, so that it sees every commit.
SELECT pg_create_logical_replication_slot('oracle', 'test_decoding');
SELECT audit.note_columns(oid) FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition;
