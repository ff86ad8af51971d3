-- What records every change of the tables of the schema `shop`; `witness.sql` puts it to work once they are there.

CREATE SCHEMA shop;
CREATE SCHEMA audit;

-- The record. `content` is the row before and after; for a column change ('C') `new_row` holds the columns and `old_row` every row.
CREATE TABLE audit.changes (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid      xid8 NOT NULL DEFAULT pg_current_xact_id(),
    relation text NOT NULL,
    op       "char" NOT NULL,
    old_row  jsonb,
    new_row  jsonb
);

-- Values that travel as text, and that `to_jsonb` takes apart: SQL that puts the text in their place, behind `to_jsonb($1)`.
CREATE FUNCTION audit.as_text(relation regclass) RETURNS text STABLE LANGUAGE sql AS $$
    SELECT coalesce(string_agg(format(' || jsonb_build_object(%L, ($1).%I::text)', attname, attname), ''), '')
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem
    WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
      AND (t.typtype = 'c' OR e.typtype = 'c' OR t.typname IN ('hstore', 'int2vector'))
$$;

CREATE FUNCTION audit.content(relation regclass, row_of_it anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    as_text text := audit.as_text(relation);
    content jsonb;
BEGIN
    IF as_text = '' THEN
        RETURN to_jsonb(row_of_it);
    END IF;
    EXECUTE 'SELECT to_jsonb($1)' || as_text INTO content USING row_of_it;
    RETURN content;
END $$;

CREATE FUNCTION audit.note_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO audit.changes (relation, op, new_row) VALUES (TG_ARGV[0], 'I', audit.content(TG_RELID, NEW));
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO audit.changes (relation, op, old_row, new_row) VALUES (TG_ARGV[0], 'U', audit.content(TG_RELID, OLD), audit.content(TG_RELID, NEW));
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO audit.changes (relation, op, old_row) VALUES (TG_ARGV[0], 'D', audit.content(TG_RELID, OLD));
    ELSE
        INSERT INTO audit.changes (relation, op) VALUES (TG_ARGV[0], 'T');
    END IF;
    RETURN NULL;
END $$;

-- DDL changes rows that no row trigger sees. It holds the table's exclusive lock, so what it reads is what there is.
CREATE FUNCTION audit.note_columns(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    all_rows jsonb;
BEGIN
    EXECUTE format('SELECT coalesce(jsonb_agg(audit.content(%L, t)), ''[]'') FROM %s t', relation, relation) INTO all_rows;
    INSERT INTO audit.changes (relation, op, old_row, new_row)
    SELECT relation::text, 'C', all_rows,
           jsonb_agg(jsonb_build_object('attnum', attnum, 'name', attname, 'type', format_type(atttypid, atttypmod)) ORDER BY attnum)
    FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
END $$;

CREATE FUNCTION audit.note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    altered regclass;
BEGIN
    FOR altered IN
        SELECT DISTINCT c.oid::regclass FROM pg_event_trigger_ddl_commands() d JOIN pg_class c ON c.oid = d.objid
        WHERE d.classid = 'pg_class'::regclass AND d.schema_name = 'shop' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    LOOP
        PERFORM audit.note_columns(altered);
    END LOOP;
END $$;
