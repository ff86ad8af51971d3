//! The same roles over PostgreSQL's wire protocol, where clients ask in SQL of their own and look at catalogues; keys as passwords, and TLS.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::access::{certificate, Guarded, MASKED, VAULT};
use crate::project::stop;

impl Guarded {
    fn psql(&self, user: &str, password: &str, options: &str) -> Command {
        let mut command = Command::new(self.cluster.bin_dir().join("psql"));
        command
            .arg("-XAtq")
            .arg(format!("host=127.0.0.1 port={} dbname=scenario user={user} {options}", self.port))
            .env("PGPASSWORD", password)
            // For what psql runs in turn.
            .env("DATABASE_URL", self.cluster.url());
        command
    }

    /// All that psql prints of a statement asked by a role.
    fn asked(&self, role: &str, sql: &str) -> String {
        let key = self.key(role);
        let id = key.rsplit_once('_').unwrap().0;
        let output = self.psql(id, key, "sslmode=require").args(["-c", sql]).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}

#[test]
fn no_role_reads_what_it_may_not_over_the_wire() {
    let guarded = Guarded::start();
    let mut statements: Vec<String> = [
        "\\d",
        "\\dt *.*",
        "\\dv *.*",
        "\\dn",
        "\\d+ shop.customers",
        "\\d+ shop.vault",
        "\\d+ main.people",
        "\\l",
        "\\df",
        "\\sv main.people",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM information_schema.views",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM pg_catalog.pg_views",
        "SELECT * FROM pg_catalog.pg_attribute",
        "SELECT * FROM pg_description",
        "SELECT pg_get_viewdef('main.people'::regclass)",
        "SELECT pg_get_viewdef(oid) FROM pg_class",
        "SELECT 'shop.vault'::regclass",
        "SELECT obj_description('main.people'::regclass)",
        "SELECT to_regclass('shop.vault')",
        "SELECT * FROM pg_stat_user_tables",
        "SHOW ALL",
        "SELECT getvariable('millstream_role')",
        "SET VARIABLE millstream_role = 'admin'",
        "SET millstream_role = 'admin'",
        "SET ROLE admin",
        "SET SESSION AUTHORIZATION admin",
        "RESET ROLE",
        "SELECT set_config('role', 'admin', false)",
        "SELECT current_setting('secret_directory')",
        "EXPLAIN SELECT * FROM shop.orders",
        "EXPLAIN ANALYZE SELECT * FROM main.people",
        "DESCRIBE shop.orders",
        "SUMMARIZE shop.customers",
        "SELECT * FROM duckdb_views()",
        "SELECT * FROM duckdb_tables",
        "SELECT sql FROM sqlite_master",
        "SELECT pg_get_viewdef((SELECT 1))",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('data/store.sqlite')",
        "SELECT getenv('DATABASE_URL')",
        "COPY shop.orders TO '/tmp/x'",
        "COPY (SELECT * FROM main.people) TO STDOUT",
        "COPY shop.vault TO STDOUT",
        "ATTACH 'data/store.sqlite'",
        "INSTALL httpfs",
        "LOAD sqlite",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "SELECT * FROM _millstream.tables",
        "SELECT * FROM _millstream.restricted",
        "WITH vault AS (SELECT * FROM vault) SELECT * FROM vault, orders",
        "WITH a AS (SELECT * FROM vault), vault AS (SELECT 1) SELECT * FROM a, orders",
        "SELECT * FROM query('SELECT * FROM shop.vault')",
        "SELECT * FROM query_table('shop.vault')",
        "SELECT * FROM vault",
        "SELECT * FROM SHOP.\"Vault\"",
        "SELECT * FROM shop.vaultt",
        "SELECT vault_as_off(1)",
        "WITH v AS (SELECT * FROM shop.vault) SELECT * FROM v",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM shop.vault)",
        "BEGIN; SELECT * FROM shop.orders; COMMIT",
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM main.people; FETCH ALL FROM c",
        "PREPARE p AS SELECT * FROM shop.customers; EXECUTE p",
        "SELECT * FROM shop.orders \\gdesc",
        "SELECT * FROM main.leaky",
    ]
    .map(str::to_owned)
    .to_vec();
    for relation in [
        "shop.customers",
        "shop.customers_history",
        "shop.customers_as_of(now())",
        "shop.orders",
        "main.people",
    ] {
        for template in [
            "SELECT * FROM {}",
            "SELECT max(t) FROM {} AS t",
            "SELECT count(*), string_agg(t::VARCHAR, ';') FROM {} AS t",
            "SELECT * FROM {} AS t WHERE CASE WHEN t::VARCHAR LIKE '%addr%' THEN error(t::VARCHAR) ELSE true END",
            "SELECT CAST(t::VARCHAR AS INTEGER) FROM {} AS t",
            "SELECT * FROM {} AS t JOIN shop.customers AS c ON c.name = t.name OR c.address >= 'a'",
        ] {
            statements.push(template.replace("{}", relation));
        }
    }
    let mut seen = String::new();
    for statement in &statements {
        seen.push_str(&guarded.asked("admin", statement));
        for role in ["clerk", "auditor"] {
            let by_http = guarded.sql(role, statement, None);
            let told = format!("{}{}", guarded.asked(role, statement), by_http.body);
            assert!(by_http.status < 500, "{role}: {statement}: {by_http:?}");
            let more = ["vault", "Vault", "root:x:", "_millstream", "sha256", "CANCELLED", "postgres://"];
            for word in MASKED.iter().chain(&VAULT).chain(&more).filter(|word| !statement.contains(**word)) {
                assert!(!told.contains(word), "{role}: {statement}: {told}");
            }
            // What is refused is repeated; what is given out is not.
            let values = MASKED.iter().chain(&VAULT).filter(|word| statement.contains(**word));
            assert_eq!(values.count(), 0, "{statement}");
            assert!(
                !told.contains("password authentication") && !told.contains("connection to server"),
                "{told}"
            );
        }
    }
    for word in MASKED.iter().chain(&VAULT) {
        assert!(seen.contains(word), "{word} must be somewhere to be hidden");
    }
    assert_eq!(guarded.asked("clerk", "SELECT id, status FROM shop.orders ORDER BY id"), "1|OPEN\n3|DONE\n");
    assert_eq!(guarded.asked("clerk", "SELECT count(*), count(name) FROM shop.customers"), "2|0\n");
    let sql =
        |role: &str, as_of: Option<&str>| guarded.sql(role, "SELECT count(*) AS n FROM shop.orders", as_of);
    let statuses = ["admin", "clerk", "auditor", "caller"]
        .map(|role| (sql(role, None).status, sql(role, Some("0/FFFFFFFF")).status));
    assert_eq!(statuses, [(200, 200), (200, 403), (200, 200), (403, 403)]);
    let tables = guarded.asked("clerk", "\\dt *.*");
    assert!(tables.contains("shop|orders") && !tables.contains("history"), "{tables}");
    stop(guarded.process);
}

#[test]
fn a_key_is_the_password_and_other_machines_speak_tls() {
    let guarded = Guarded::start();
    let key = guarded.key("clerk").to_owned();
    let id = key.rsplit_once('_').unwrap().0;
    let ask = |user: &str, password: &str, options: &str| {
        let output = guarded.psql(user, password, options).args(["-c", "SELECT 1"]).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    certificate(guarded.project.directory(), "other");
    let root = |name: &str| {
        let file = guarded.project.directory().join(format!("tls/{name}.crt"));
        format!("sslmode=verify-full sslrootcert={}", file.display())
    };
    assert_eq!(ask(id, &key, "sslmode=require"), "1\n");
    assert_eq!(ask(id, &key, &root("server")), "1\n");
    assert!(ask(id, &key, &root("other")).contains("certificate verify failed"));
    assert!(ask(id, &key, "sslmode=disable").contains("take TLS"));
    assert!(ask(id, &key, "sslmode=require channel_binding=require").contains("channel binding"));
    // Whether the user is there, or only the password wrong, is not told.
    let other = guarded.key("auditor");
    for (user, password) in [
        (id, other),
        (id, "wrong"),
        ("ms_000000000000", key.as_str()),
        ("clerk", key.as_str()),
        ("postgres", "postgres"),
    ] {
        let told = ask(user, password, "sslmode=require");
        assert!(told.contains(&format!("password authentication failed for user \"{user}\"")), "{told}");
    }
    let caller = guarded.key("caller");
    let told = ask(caller.rsplit_once('_').unwrap().0, caller, "sslmode=require");
    assert!(told.contains("may not ask in SQL"), "{told}");
    // A client that is connected loses its connection with its key.
    let mut client = guarded
        .psql(id, &key, "sslmode=require")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    writeln!(input, "SELECT 'before';").unwrap();
    let revoke = format!(
        "\\! {} --project {} keys revoke {id}",
        env!("CARGO_BIN_EXE_millstream"),
        guarded.project.directory().display()
    );
    writeln!(input, "{revoke}\nSELECT 'behind' || 1;").unwrap();
    drop(input);
    let output = client.wait_with_output().unwrap();
    let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("before") && !out.contains("behind1") && told.contains("revoked"), "{out}{told}");
    assert!(ask(id, &key, "sslmode=require").contains("password authentication failed"));
    let log = guarded.process.stderr();
    for key in ["clerk", "auditor", "caller"].map(|role| guarded.key(role)) {
        assert!(!log.contains(key.rsplit('_').next().unwrap()), "{log}");
    }
    stop(guarded.process);
}
