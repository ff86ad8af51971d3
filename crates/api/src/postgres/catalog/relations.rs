//! The relations of `pg_catalog` and their columns, as PostgreSQL 15 has them: what a client may name exists, even where it is empty here.
//!
//! The names are PostgreSQL's interface (its chapter "System Catalogs"). What those relations hold is [`super::contents`]'s.

/// A relation a paragraph: its name, its columns with their types.
const RELATIONS: &str = "\
pg_proc: oid oid, proname name, pronamespace oid, proowner oid, prolang oid, procost float4, prorows float4,
    provariadic oid, prosupport name, prokind char, prosecdef bool, proleakproof bool, proisstrict bool,
    proretset bool, provolatile char, proparallel char, pronargs int2, pronargdefaults int2, prorettype oid,
    proargtypes oid[], proallargtypes oid[], proargmodes char[], proargnames text[], proargdefaults text,
    protrftypes oid[], prosrc text, probin text, prosqlbody text, proconfig text[], proacl text[]
pg_type: oid oid, typname name, typnamespace oid, typowner oid, typlen int2, typbyval bool, typtype char,
    typcategory char, typispreferred bool, typisdefined bool, typdelim char, typrelid oid, typsubscript
    name, typelem oid, typarray oid, typinput name, typoutput name, typreceive name, typsend name, typmodin
    name, typmodout name, typanalyze name, typalign char, typstorage char, typnotnull bool, typbasetype oid,
    typtypmod int4, typndims int4, typcollation oid, typdefaultbin text, typdefault text, typacl text[]
pg_attribute: attrelid oid, attname name, atttypid oid, attstattarget int4, attlen int2, attnum int2,
    attndims int4, attcacheoff int4, atttypmod int4, attbyval bool, attalign char, attstorage char,
    attcompression char, attnotnull bool, atthasdef bool, atthasmissing bool, attidentity char, attgenerated
    char, attisdropped bool, attislocal bool, attinhcount int4, attcollation oid, attacl text[], attoptions
    text[], attfdwoptions text[], attmissingval text
pg_class: oid oid, relname name, relnamespace oid, reltype oid, reloftype oid, relowner oid, relam oid,
    relfilenode oid, reltablespace oid, relpages int4, reltuples float4, relallvisible int4, reltoastrelid
    oid, relhasindex bool, relisshared bool, relpersistence char, relkind char, relnatts int2, relchecks
    int2, relhasrules bool, relhastriggers bool, relhassubclass bool, relrowsecurity bool,
    relforcerowsecurity bool, relispopulated bool, relreplident char, relispartition bool, relrewrite oid,
    relfrozenxid oid, relminmxid oid, relacl text[], reloptions text[], relpartbound text
pg_attrdef: oid oid, adrelid oid, adnum int2, adbin text
pg_constraint: oid oid, conname name, connamespace oid, contype char, condeferrable bool, condeferred bool,
    convalidated bool, conrelid oid, contypid oid, conindid oid, conparentid oid, confrelid oid, confupdtype
    char, confdeltype char, confmatchtype char, conislocal bool, coninhcount int4, connoinherit bool, conkey
    int2[], confkey int2[], conpfeqop oid[], conppeqop oid[], conffeqop oid[], confdelsetcols int2[],
    conexclop oid[], conbin text
pg_inherits: inhrelid oid, inhparent oid, inhseqno int4, inhdetachpending bool
pg_index: indexrelid oid, indrelid oid, indnatts int2, indnkeyatts int2, indisunique bool,
    indnullsnotdistinct bool, indisprimary bool, indisexclusion bool, indimmediate bool, indisclustered
    bool, indisvalid bool, indcheckxmin bool, indisready bool, indislive bool, indisreplident bool, indkey
    int2[], indcollation oid[], indclass oid[], indoption int2[], indexprs text, indpred text
pg_operator: oid oid, oprname name, oprnamespace oid, oprowner oid, oprkind char, oprcanmerge bool,
    oprcanhash bool, oprleft oid, oprright oid, oprresult oid, oprcom oid, oprnegate oid, oprcode name,
    oprrest name, oprjoin name
pg_opfamily: oid oid, opfmethod oid, opfname name, opfnamespace oid, opfowner oid
pg_opclass: oid oid, opcmethod oid, opcname name, opcnamespace oid, opcowner oid, opcfamily oid, opcintype
    oid, opcdefault bool, opckeytype oid
pg_am: oid oid, amname name, amhandler name, amtype char
pg_amop: oid oid, amopfamily oid, amoplefttype oid, amoprighttype oid, amopstrategy int2, amoppurpose char,
    amopopr oid, amopmethod oid, amopsortfamily oid
pg_language: oid oid, lanname name, lanowner oid, lanispl bool, lanpltrusted bool, lanplcallfoid oid,
    laninline oid, lanvalidator oid, lanacl text[]
pg_aggregate: aggfnoid name, aggkind char, aggnumdirectargs int2, aggtransfn name, aggfinalfn name,
    aggcombinefn name, aggserialfn name, aggdeserialfn name, aggmtransfn name, aggminvtransfn name,
    aggmfinalfn name, aggfinalextra bool, aggmfinalextra bool, aggfinalmodify char, aggmfinalmodify char,
    aggsortop oid, aggtranstype oid, aggtransspace int4, aggmtranstype oid, aggmtransspace int4, agginitval
    text, aggminitval text
pg_statistic_ext: oid oid, stxrelid oid, stxname name, stxnamespace oid, stxowner oid, stxstattarget int4,
    stxkeys int2[], stxkind char[], stxexprs text
pg_rewrite: oid oid, rulename name, ev_class oid, ev_type char, ev_enabled char, is_instead bool, ev_qual
    text, ev_action text
pg_trigger: oid oid, tgrelid oid, tgparentid oid, tgname name, tgfoid oid, tgtype int2, tgenabled char,
    tgisinternal bool, tgconstrrelid oid, tgconstrindid oid, tgconstraint oid, tgdeferrable bool,
    tginitdeferred bool, tgnargs int2, tgattr int2[], tgargs text, tgqual text, tgoldtable name, tgnewtable
    name
pg_event_trigger: oid oid, evtname name, evtevent name, evtowner oid, evtfoid oid, evtenabled char, evttags
    text[]
pg_description: objoid oid, classoid oid, objsubid int4, description text
pg_cast: oid oid, castsource oid, casttarget oid, castfunc oid, castcontext char, castmethod char
pg_enum: oid oid, enumtypid oid, enumsortorder float4, enumlabel name
pg_namespace: oid oid, nspname name, nspowner oid, nspacl text[]
pg_conversion: oid oid, conname name, connamespace oid, conowner oid, conforencoding int4, contoencoding
    int4, conproc name, condefault bool
pg_depend: classid oid, objid oid, objsubid int4, refclassid oid, refobjid oid, refobjsubid int4, deptype
    char
pg_database: oid oid, datname name, datdba oid, encoding int4, datlocprovider char, datistemplate bool,
    datallowconn bool, datconnlimit int4, datfrozenxid oid, datminmxid oid, dattablespace oid, datcollate
    text, datctype text, daticulocale text, datcollversion text, datacl text[]
pg_db_role_setting: setdatabase oid, setrole oid, setconfig text[]
pg_tablespace: oid oid, spcname name, spcowner oid, spcacl text[], spcoptions text[]
pg_auth_members: roleid oid, member oid, grantor oid, admin_option bool
pg_shdepend: dbid oid, classid oid, objid oid, objsubid int4, refclassid oid, refobjid oid, deptype char
pg_shdescription: objoid oid, classoid oid, description text
pg_ts_config: oid oid, cfgname name, cfgnamespace oid, cfgowner oid, cfgparser oid
pg_ts_dict: oid oid, dictname name, dictnamespace oid, dictowner oid, dicttemplate oid, dictinitoption text
pg_ts_parser: oid oid, prsname name, prsnamespace oid, prsstart name, prstoken name, prsend name,
    prsheadline name, prslextype name
pg_ts_template: oid oid, tmplname name, tmplnamespace oid, tmplinit name, tmpllexize name
pg_extension: oid oid, extname name, extowner oid, extnamespace oid, extrelocatable bool, extversion text,
    extconfig oid[], extcondition text[]
pg_foreign_data_wrapper: oid oid, fdwname name, fdwowner oid, fdwhandler oid, fdwvalidator oid, fdwacl
    text[], fdwoptions text[]
pg_foreign_server: oid oid, srvname name, srvowner oid, srvfdw oid, srvtype text, srvversion text, srvacl
    text[], srvoptions text[]
pg_user_mapping: oid oid, umuser oid, umserver oid, umoptions text[]
pg_foreign_table: ftrelid oid, ftserver oid, ftoptions text[]
pg_policy: oid oid, polname name, polrelid oid, polcmd char, polpermissive bool, polroles oid[], polqual
    text, polwithcheck text
pg_default_acl: oid oid, defaclrole oid, defaclnamespace oid, defaclobjtype char, defaclacl text[]
pg_init_privs: objoid oid, classoid oid, objsubid int4, privtype char, initprivs text[]
pg_seclabel: objoid oid, classoid oid, objsubid int4, provider text, label text
pg_collation: oid oid, collname name, collnamespace oid, collowner oid, collprovider char,
    collisdeterministic bool, collencoding int4, collcollate text, collctype text, colliculocale text,
    collversion text
pg_partitioned_table: partrelid oid, partstrat char, partnatts int2, partdefid oid, partattrs int2[],
    partclass oid[], partcollation oid[], partexprs text
pg_range: rngtypid oid, rngsubtype oid, rngmultitypid oid, rngcollation oid, rngsubopc oid, rngcanonical
    name, rngsubdiff name
pg_sequence: seqrelid oid, seqtypid oid, seqstart int8, seqincrement int8, seqmax int8, seqmin int8,
    seqcache int8, seqcycle bool
pg_publication: oid oid, pubname name, pubowner oid, puballtables bool, pubinsert bool, pubupdate bool,
    pubdelete bool, pubtruncate bool, pubviaroot bool
pg_publication_namespace: oid oid, pnpubid oid, pnnspid oid
pg_publication_rel: oid oid, prpubid oid, prrelid oid, prqual text, prattrs int2[]
pg_subscription: oid oid, subdbid oid, subskiplsn text, subname name, subowner oid, subenabled bool,
    subbinary bool, substream bool, subtwophasestate char, subdisableonerr bool, subconninfo text,
    subslotname name, subsynccommit text, subpublications text[]
pg_subscription_rel: srsubid oid, srrelid oid, srsubstate char, srsublsn text
pg_stat_activity: datid oid, datname name, pid int4, leader_pid int4, usesysid oid, usename name,
    application_name text, client_addr text, client_hostname text, client_port int4, backend_start timestamptz,
    xact_start timestamptz, query_start timestamptz, state_change timestamptz, wait_event_type text, wait_event text,
    state text, backend_xid oid, backend_xmin oid, query_id int8, query text, backend_type text
pg_stat_user_tables: relid oid, schemaname name, relname name, seq_scan int8, seq_tup_read int8, idx_scan int8,
    idx_tup_fetch int8, n_tup_ins int8, n_tup_upd int8, n_tup_del int8, n_live_tup int8, n_dead_tup int8,
    last_vacuum timestamptz, last_autovacuum timestamptz, last_analyze timestamptz, last_autoanalyze timestamptz
pg_stat_ssl: pid int4, ssl bool, version text, cipher text, bits int4, client_dn text, client_serial text, issuer_dn text
pg_stat_gssapi: pid int4, gss_authenticated bool, principal text, encrypted bool
pg_stat_replication: pid int4, usesysid oid, usename name, application_name text, state text, sync_state text
pg_locks: locktype text, database oid, relation oid, pid int4, mode text, granted bool
pg_matviews: schemaname name, matviewname name, matviewowner name, tablespace name, hasindexes bool, ispopulated bool,
    definition text
pg_sequences: schemaname name, sequencename name, sequenceowner name, data_type text, start_value int8, min_value int8,
    max_value int8, increment_by int8, cycle bool, cache_size int8, last_value int8
pg_rules: schemaname name, tablename name, rulename name, definition text
pg_policies: schemaname name, tablename name, policyname name, permissive text, roles text[], cmd text, qual text,
    with_check text
pg_publication_tables: pubname name, schemaname name, tablename name
pg_prepared_xacts: transaction oid, gid text, prepared timestamptz, owner name, database name
pg_prepared_statements: name text, statement text, prepare_time timestamptz, parameter_types text[], from_sql bool
pg_cursors: name text, statement text, is_holdable bool, is_binary bool, is_scrollable bool, creation_time timestamptz
pg_available_extensions: name name, default_version text, installed_version text, comment text
pg_timezone_names: name text, abbrev text, utc_offset text, is_dst bool
pg_timezone_abbrevs: abbrev text, utc_offset text, is_dst bool
pg_replication_slots: slot_name name, plugin name, slot_type text, database name, active bool
pg_stats: schemaname name, tablename name, attname name, null_frac float4, n_distinct float4
pg_file_settings: sourcefile text, name text, setting text
";

/// The statements that create the relations in a schema, empty. A column that is not filled has its type's zero, as PostgreSQL's have.
pub(super) fn create(schema: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    for line in RELATIONS.lines() {
        match paragraphs.last_mut().filter(|_| line.starts_with(' ')) {
            Some(paragraph) => paragraph.push_str(line),
            None => paragraphs.push(line.to_owned()),
        }
    }
    let relation = |paragraph: &String| {
        let (name, columns) = paragraph.split_once(':')?;
        let columns = columns.split(',').filter_map(|column| column.trim().split_once(' '));
        let columns: Vec<_> =
            columns.map(|(name, kind)| format!("\"{name}\" {}", column_type(kind.trim()))).collect();
        Some(format!("CREATE TABLE {schema}.{name} ({})", columns.join(", ")))
    };
    paragraphs.iter().filter_map(relation).collect()
}

/// Names of all relations.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    RELATIONS
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name)
}

/// The engine's type and default. Lists and texts that PostgreSQL leaves out are NULL there too.
fn column_type(kind: &str) -> &'static str {
    match kind {
        "bool" => "BOOLEAN DEFAULT false",
        "int2" => "SMALLINT DEFAULT 0",
        "int4" => "INTEGER DEFAULT 0",
        "int8" => "BIGINT DEFAULT 0",
        "oid" => "UINTEGER DEFAULT 0",
        "float4" => "FLOAT DEFAULT 0",
        "name" | "char" => "VARCHAR DEFAULT ''",
        "timestamptz" => "TIMESTAMPTZ",
        "int2[]" => "SMALLINT[]",
        "oid[]" => "UINTEGER[]",
        "float4[]" => "FLOAT[]",
        "char[]" | "text[]" => "VARCHAR[]",
        _ => "VARCHAR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_paragraph_is_a_relation() {
        let statements = create("pg");
        assert_eq!(statements.len(), names().count());
        let attribute = statements.iter().find(|statement| statement.contains("pg.pg_attribute (")).unwrap();
        assert!(attribute.contains("\"attnum\" SMALLINT DEFAULT 0"), "{attribute}");
        assert!(attribute.contains("\"attacl\" VARCHAR[]"), "{attribute}");
    }
}
