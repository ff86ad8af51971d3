//! What is there, as the system catalogue tells it. Schemas of the server's own and temporary relations of other sessions are left out.

use millstream_core::build::{BuiltRelation, DescribedColumn, DescribedRelation, RelationKind};
use millstream_source::{sql::literal, wire::Row};

/// What [`columns`] takes for the schema of relations that this session alone has.
pub const TEMPORARY: &str = "pg_temp";

fn own(schema: &str) -> String {
    format!("{schema} !~ '^pg_' and {schema} <> 'information_schema'")
}

/// A condition that holds in one database, however its name is written.
fn within(database: &str) -> String {
    format!("lower(current_database()) = lower({})", literal(database))
}

/// Tables and views of a database, unless it is another than the connection's: schema, name, kind.
pub fn relations(database: &str) -> String {
    format!(
        "select s.nspname, r.relname, r.relkind from pg_catalog.pg_class r \
         join pg_catalog.pg_namespace s on s.oid = r.relnamespace \
         where r.relkind in ('r', 'p', 'v', 'm') and {} and {}",
        own("s.nspname"),
        within(database)
    )
}

/// A relation of [`relations`].
pub fn relation(row: &Row) -> Option<BuiltRelation> {
    let text = |at| row.get(at).map(str::to_owned);
    Some(BuiltRelation { schema: text(0)?, name: text(1)?, kind: kind(row.get(2)?) })
}

fn kind(letter: &str) -> RelationKind {
    match letter {
        "v" => RelationKind::View,
        "m" => RelationKind::MaterializedView,
        _ => RelationKind::Table,
    }
}

/// Names and types of a relation's columns, in order.
pub fn columns(database: &str, schema: &str, relation: &str) -> String {
    let schema = match schema {
        TEMPORARY => "s.oid = pg_catalog.pg_my_temp_schema()".to_owned(),
        schema => format!("s.nspname = {} and {}", literal(schema), within(database)),
    };
    format!(
        "select c.attname, pg_catalog.format_type(c.atttypid, c.atttypmod) from pg_catalog.pg_attribute c \
         join pg_catalog.pg_class r on r.oid = c.attrelid join pg_catalog.pg_namespace s on s.oid = r.relnamespace \
         where r.relname = {} and {schema} and r.relkind in ('r', 'p', 'v', 'm', 'f') and c.attnum > 0 \
         and not c.attisdropped order by c.attnum",
        literal(relation)
    )
}

/// All relations of a database with their columns, a column a row: schema, name, kind, comment, owner; column, type, number, comment; database.
pub fn described(database: &str) -> String {
    format!(
        "select s.nspname, r.relname, r.relkind, pg_catalog.obj_description(r.oid, 'pg_class'), pg_catalog.pg_get_userbyid(r.relowner), \
         c.attname, pg_catalog.format_type(c.atttypid, c.atttypmod), c.attnum, pg_catalog.col_description(r.oid, c.attnum), current_database() \
         from pg_catalog.pg_class r join pg_catalog.pg_namespace s on s.oid = r.relnamespace \
         join pg_catalog.pg_attribute c on c.attrelid = r.oid \
         where r.relkind in ('r', 'p', 'v', 'm', 'f') and c.attnum > 0 and not c.attisdropped and {} and {} \
         order by s.nspname, r.relname, c.attnum",
        own("s.nspname"),
        within(database)
    )
}

/// The relations that rows of [`described`] tell.
pub fn describe(rows: &[Row]) -> Vec<DescribedRelation> {
    let mut found: Vec<DescribedRelation> = Vec::new();
    for row in rows {
        let text = |at| row.get(at).unwrap_or_default().to_owned();
        let (schema, name) = (text(0), text(1));
        if found.last().is_none_or(|last| last.schema != schema || last.name != name) {
            found.push(DescribedRelation {
                database: text(9),
                schema,
                name,
                kind: kind(&text(2)),
                comment: row.get(3).map(str::to_owned),
                owner: row.get(4).map(str::to_owned),
                columns: Vec::new(),
            });
        }
        if let Some(relation) = found.last_mut() {
            relation.columns.push(DescribedColumn {
                name: text(5),
                data_type: text(6),
                index: text(7).parse().unwrap_or(0),
                comment: row.get(8).map(str::to_owned),
            });
        }
    }
    found
}
