//! psql, its whole output compared.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::fixture::Fixture;

/// What psql prints, first what it answers and then what it complains of; lines' trailing blanks are cut.
fn psql(fixture: &Fixture, commands: &[&str]) -> String {
    let mut psql = fixture.client(&program());
    psql.arg("-X").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut psql = psql.spawn().unwrap();
    let input = commands.join("\n") + "\n";
    psql.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = psql.wait_with_output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The newest that Debian has installed, or the one that is found.
fn program() -> String {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = installed.map(|entry| entry.path().join("bin/psql")).filter(|path| path.exists()).max();
    newest.map_or_else(|| "psql".to_owned(), |path| path.to_string_lossy().into_owned())
}

/// psql's own queries and the form of what it prints are those of its version; the outputs here are of this one.
const VERSION: &str = "(PostgreSQL) 15.";

#[track_caller]
fn prints(commands: &[&str], expected: &str) {
    let fixture = Fixture::new();
    let printed = psql(&fixture, commands);
    let version = Command::new(program()).arg("--version").output().unwrap();
    if !String::from_utf8_lossy(&version.stdout).contains(VERSION) {
        assert_eq!(
            printed.contains("ERROR:"),
            expected.contains("ERROR:"),
            "{commands:?} printed\n{printed}"
        );
        return;
    }
    // Shown as it is printed: a difference is easier to see so.
    assert!(printed.trim_matches('\n') == expected.trim_matches('\n'), "{commands:?} printed\n{printed}");
}

#[test]
fn a_query_prints_as_in_postgresql() {
    prints(
        &[
            "SELECT * FROM shop.orders ORDER BY id;",
            r"SELECT * FROM shop.everything WHERE i4 IS NOT NULL \gx",
        ],
        r#"
 id | customer | amount |            placed             | paid
----+----------+--------+-------------------------------+------
  1 | ann      |  10.00 | 2026-01-01 08:00:00+00        | t
  2 | bob      |   7.25 | 2026-01-02 08:00:00.123456+00 | t
  3 |          |        |                               |
(3 rows)

-[ RECORD 1 ]----------------------------
b  | t
i2 | -32768
i4 | 2147483647
i8 | 9223372036854775807
o  | 4294967295
f4 | 1.5
f8 | 0.1
n  | -1234567.80
t  | grüß "Gott"
j  | {"a": [1, 2.50]}
by | \x00ff
d  | 2024-02-29
tm | 23:59:59.5
ts | 2024-01-02 03:04:05.678901
tz | 2024-01-02 03:04:05+00
iv | 1 year 2 mons -3 days +04:05:06.7
u  | a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11
ia | {1,NULL,3}
ta | {a,"b c",NULL}
"#,
    );
}

#[test]
fn dt_lists_tables() {
    prints(
        &[r"\dt"],
        r#"
              List of relations
  Schema   |    Name    | Type  |   Owner
-----------+------------+-------+------------
 Odd Names | Line Items | table | millstream
 shop      | everything | table | millstream
 shop      | orders     | table | millstream
(3 rows)
"#,
    );
}

#[test]
fn dv_lists_views_and_models() {
    prints(
        &[r"\dv"],
        r#"
                 List of relations
  Schema   |        Name        | Type |   Owner
-----------+--------------------+------+------------
 Odd Names | Line Items_history | view | millstream
 main      | paid_by_customer   | view | millstream
 shop      | everything_history | view | millstream
 shop      | orders_history     | view | millstream
(4 rows)
"#,
    );
}

#[test]
fn d_describes_a_table_with_its_key() {
    prints(
        &[r"\d orders"],
        r#"
                         Table "shop.orders"
  Column  |           Type           | Collation | Nullable | Default
----------+--------------------------+-----------+----------+---------
 id       | integer                  |           | not null |
 customer | text                     |           |          |
 amount   | numeric(12,2)            |           |          |
 placed   | timestamp with time zone |           |          |
 paid     | boolean                  |           |          |
Indexes:
    "orders_pkey" PRIMARY KEY, btree (id)
"#,
    );
}

#[test]
fn d_plus_says_what_the_source_has() {
    prints(
        &[r"\d+ shop.orders"],
        r#"
                                                                Table "shop.orders"
  Column  |           Type           | Collation | Nullable | Default | Storage  | Compression | Stats target |             Description
----------+--------------------------+-----------+----------+---------+----------+-------------+--------------+-------------------------------------
 id       | integer                  |           | not null |         | plain    |             |              |
 customer | text                     |           |          |         | extended |             |              | character varying(40) at the source
 amount   | numeric(12,2)            |           |          |         | extended |             |              |
 placed   | timestamp with time zone |           |          |         | plain    |             |              |
 paid     | boolean                  |           |          |         | plain    |             |              |
Indexes:
    "orders_pkey" PRIMARY KEY, btree (id)
Access method: heap
"#,
    );
}

#[test]
fn names_that_need_quotes_are_described() {
    prints(
        &[r#"\d "Odd Names"."Line Items""#],
        r#"
           Table "Odd Names.Line Items"
 Column |  Type  | Collation | Nullable | Default
--------+--------+-----------+----------+---------
 b      | text   |           | not null |
 A      | bigint |           | not null |
Indexes:
    "Line Items_pkey" PRIMARY KEY, btree ("A", b)
"#,
    );
}

#[test]
fn d_describes_history() {
    prints(
        &[r"\d orders_history"],
        r#"
                         View "shop.orders_history"
     Column     |           Type           | Collation | Nullable | Default
----------------+--------------------------+-----------+----------+---------
 id             | integer                  |           |          |
 customer       | text                     |           |          |
 amount         | numeric(12,2)            |           |          |
 placed         | timestamp with time zone |           |          |
 paid           | boolean                  |           |          |
 valid_from     | timestamp with time zone |           |          |
 valid_to       | timestamp with time zone |           |          |
 is_current     | boolean                  |           |          |
 operation_type | text                     |           |          |
 _lsn           | numeric                  |           |          |
 _seq           | numeric                  |           |          |
 _lsn_to        | numeric                  |           |          |
 _seq_to        | numeric                  |           |          |
"#,
    );
}

#[test]
fn d_plus_shows_a_models_select() {
    prints(
        &[r"\d+ paid_by_customer"],
        r#"
                            View "main.paid_by_customer"
  Column  |     Type      | Collation | Nullable | Default | Storage  | Description
----------+---------------+-----------+----------+---------+----------+-------------
 customer | text          |           |          |         | extended |
 total    | numeric(38,2) |           |          |         | extended |
View definition:
SELECT customer, sum(amount) AS total FROM shop.orders WHERE paid GROUP BY customer;
"#,
    );
}

#[test]
fn dn_l_du_and_di_list_what_there_is() {
    prints(
        &[r"\dn", r"\l", r"\du", r"\di"],
        r#"
    List of schemas
   Name    |   Owner
-----------+------------
 Odd Names | millstream
 main      | millstream
 shop      | millstream
(3 rows)

                                         List of databases
 Name |   Owner    | Encoding | Collate | Ctype | ICU Locale | Locale Provider | Access privileges
------+------------+----------+---------+-------+------------+-----------------+-------------------
 shop | millstream | UTF8     | C       | C     |            | libc            |
(1 row)

            List of roles
 Role name  | Attributes | Member of
------------+------------+-----------
 millstream |            | {}

                       List of relations
  Schema   |      Name       | Type  |   Owner    |   Table
-----------+-----------------+-------+------------+------------
 Odd Names | Line Items_pkey | index | millstream | Line Items
 shop      | orders_pkey     | index | millstream | orders
(2 rows)
"#,
    );
}

#[test]
fn commands_for_what_is_not_here_print_nothing() {
    prints(
        &[r"\df", r"\ds", r"\dx", r"\dT", r"\des"],
        r#"
                       List of functions
 Schema | Name | Result data type | Argument data types | Type
--------+------+------------------+---------------------+------
(0 rows)

     List of installed extensions
 Name | Version | Schema | Description
------+---------+--------+-------------
(0 rows)

     List of data types
 Schema | Name | Description
--------+------+-------------
(0 rows)

       List of foreign servers
 Name | Owner | Foreign-data wrapper
------+-------+----------------------
(0 rows)

Did not find any relations.
"#,
    );
}

#[test]
fn copy_writes_text_and_csv() {
    prints(
        &[
            r"\copy (SELECT id, customer, amount FROM orders ORDER BY id) TO STDOUT",
            r#"\copy "Odd Names"."Line Items" TO STDOUT WITH (FORMAT csv, HEADER)"#,
        ],
        r#"
1	ann	10.00
2	bob	7.25
3	\N	\N
b,A
"#,
    );
}

#[test]
fn gdesc_tells_types_without_running() {
    prints(
        &[r"SELECT id, amount, placed, paid, customer FROM orders \gdesc"],
        r#"
  Column  |           Type
----------+--------------------------
 id       | integer
 amount   | numeric(12,2)
 placed   | timestamp with time zone
 paid     | boolean
 customer | text
(5 rows)
"#,
    );
}

#[test]
fn a_cursor_fetches_in_parts() {
    prints(
        &[
            "BEGIN;",
            "DECLARE c CURSOR FOR SELECT id FROM orders ORDER BY id;",
            "FETCH 2 FROM c;",
            "FETCH 2 FROM c;",
            "COMMIT;",
            "FETCH 1 FROM c;",
        ],
        r#"
BEGIN
DECLARE CURSOR
 id
----
  1
  2
(2 rows)

 id
----
  3
(1 row)

COMMIT
ERROR:  cursor "c" does not exist
"#,
    );
}

#[test]
fn errors_carry_hints() {
    prints(
        &["DELETE FROM orders;"],
        r#"
ERROR:  cannot execute DELETE in a read-only transaction
HINT:  The warehouse is a copy: change the data at its source, and it arrives here.
"#,
    );
}

#[test]
fn an_error_ends_the_text_that_it_is_in() {
    prints(
        &[r"SELECT 1\; SELECT * FROM nowhere\; SELECT 2;"],
        r#"
 1
---
 1
(1 row)

ERROR:  the query failed: there is no table or view nowhere (MS5302)
"#,
    );
}
