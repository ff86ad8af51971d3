//! What differs between warehouses in how relations are named and made. Pure: names and texts.

use millstream_core::build::{RelationKind, Response};
use serde_json::{json, Value as Json};

use super::{build::Columns, ddl::literal};
use crate::{
    context::relation::{quoted, Relation},
    parse::names,
    project::Adapter,
};

/// The longest name that PostgreSQL keeps, in bytes (PostgreSQL documentation, "Identifiers and Key Words"). It would cut a longer one without a word.
pub(crate) const POSTGRES_NAME_BYTES_MAX: usize = 63;

/// How long a text without a length is taken to be where columns are compared: dbt's number.
const TEXT_LENGTH: u64 = 256;

impl Adapter {
    /// Database and schema of temporary relations, as the port is asked for their columns.
    pub(crate) fn temporary(self) -> (&'static str, &'static str) {
        match self {
            Adapter::DuckDb => ("temp", "main"),
            Adapter::Postgres => ("", "pg_temp"),
        }
    }

    /// A relation's name with something behind it, cut so that the warehouse keeps all of what is behind.
    pub(crate) fn with_suffix(self, name: &str, suffix: &str) -> String {
        let room = match self {
            Adapter::DuckDb => usize::MAX,
            Adapter::Postgres => POSTGRES_NAME_BYTES_MAX.saturating_sub(suffix.len()),
        };
        format!("{}{suffix}", cut(name, room))
    }

    /// What the temporary table is called that gathers rows for a relation. In PostgreSQL it is there for the session, so that its name is no other's.
    pub(crate) fn staged(self, relation: &Relation) -> String {
        match self {
            Adapter::DuckDb => format!("{}__dbt_tmp", relation.identifier()),
            Adapter::Postgres => {
                let micros = (names::now() * 1e6) as u64 % 86_400_000_000;
                self.with_suffix(relation.identifier(), &format!("__dbt_tmp{micros:012}"))
            }
        }
    }

    /// The statement that drops a temporary table.
    pub(crate) fn drop_staged(self, staged: &str) -> String {
        let (database, schema) = self.temporary();
        let place = if database.is_empty() { schema } else { database };
        format!("drop table if exists {place}.{}", quoted(staged))
    }

    /// The name of a schema in a statement. PostgreSQL has those of one database.
    pub(crate) fn schema(self, database: &str, schema: &str) -> String {
        match self {
            Adapter::DuckDb => format!("{}.{}", quoted(database), quoted(schema)),
            Adapter::Postgres => quoted(schema),
        }
    }

    /// What a query asks for whether there is a schema: how many there are of this name.
    pub(crate) fn count_of_schemas(self, database: &str, schema: &str) -> String {
        match self {
            Adapter::DuckDb => format!(
                "select count(*) from information_schema.schemata where lower(catalog_name) = lower({}) \
                 and lower(schema_name) = lower({})",
                literal(database),
                literal(schema)
            ),
            Adapter::Postgres => {
                format!("select count(*) from pg_catalog.pg_namespace where nspname = {}", literal(schema))
            }
        }
    }

    /// The statement that empties a table.
    pub(crate) fn empty(self, relation: &Relation) -> String {
        match self {
            Adapter::DuckDb => format!("delete from {} where true", relation.render()),
            Adapter::Postgres => format!("truncate table {}", relation.render()),
        }
    }

    /// What a type is to a contract. In PostgreSQL dbt compares what its driver calls types, in which lengths, precisions and some kinds are the same.
    pub(crate) fn contract_type(self, data_type: &str) -> String {
        let Adapter::Postgres = self else { return data_type.to_owned() };
        let (plain, array) = match data_type.strip_suffix("[]") {
            Some(element) => (element, "[]"),
            None => (data_type, ""),
        };
        let base = plain.split('(').next().unwrap_or_default().trim();
        // What is behind the length belongs to the name: `timestamp(3) with time zone`.
        let rest = plain.split_once(')').map_or("", |(_, rest)| rest);
        let name = match format!("{base}{rest}").as_str() {
            "text" | "character varying" | "character" | "name" | "\"char\"" => "text".to_owned(),
            "integer" | "smallint" => "integer".to_owned(),
            "real" | "double precision" => "double precision".to_owned(),
            other => other.to_owned(),
        };
        format!("{name}{array}")
    }
}

/// As much of a text as a number of bytes holds, in whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What a relation's kind is called in templates and in configuration.
pub(crate) fn kind_name(kind: RelationKind) -> &'static str {
    match kind {
        RelationKind::View => "view",
        RelationKind::Table => "table",
        RelationKind::MaterializedView => "materialized_view",
    }
}

/// What a warehouse says of a statement, as results tell it.
pub(crate) fn response_json(response: &Response) -> Json {
    match &response.code {
        None => json!({"_message": response.message}),
        Some(code) => {
            // dbt's driver says -1 where no rows are told of.
            let rows = response.rows.and_then(|rows| i64::try_from(rows).ok()).unwrap_or(-1);
            json!({"_message": response.message, "code": code, "rows_affected": rows})
        }
    }
}

/// The length of a text type, and `None` of what is no text.
pub(crate) fn text_length(data_type: &str) -> Option<u64> {
    let (base, length) = match data_type.split_once('(') {
        Some((base, rest)) => (base.trim(), rest.trim_end_matches(')').trim().parse().ok()),
        None => (data_type.trim(), None),
    };
    let is_text = ["text", "character varying", "character", "varchar"]
        .iter()
        .any(|known| base.eq_ignore_ascii_case(known));
    is_text.then(|| length.unwrap_or(TEXT_LENGTH))
}

/// Columns of a table that are to take longer texts, with their new types: those that the columns of the same names in `given` have room for and it has not.
pub(crate) fn widened(there: &Columns, given: &Columns) -> Columns {
    let longer = |(name, old): &(String, String)| {
        let (_, new) = given.iter().find(|(other, _)| other == name)?;
        let (old, new) = (text_length(old)?, text_length(new)?);
        (new > old).then(|| (name.clone(), format!("character varying({new})")))
    };
    there.iter().filter_map(longer).collect()
}

/// The statements that give a column of a PostgreSQL table another type. It goes to the end, as with dbt: what views read of it goes with the old one.
pub(crate) fn alter_type(target: &str, column: &str, data_type: &str) -> Vec<String> {
    let (old, new) = (quoted(column), quoted(&format!("{column}__dbt_alter")));
    vec![
        format!("alter table {target} add column {new} {data_type}"),
        format!("update {target} set {new} = {old}"),
        format!("alter table {target} drop column {old} cascade"),
        format!("alter table {target} rename column {new} to {old}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_where_postgresql_would_cut_them_and_keep_what_is_behind() {
        let long = format!("{}é", "x".repeat(53));
        let name = Adapter::Postgres.with_suffix(&long, "__dbt_tmp");
        assert_eq!(name, format!("{}__dbt_tmp", "x".repeat(53)));
        assert_eq!(Adapter::Postgres.with_suffix("orders", "__dbt_tmp"), "orders__dbt_tmp");
        let staged = Adapter::Postgres.staged(&Relation::new("d", "s", &"y".repeat(63)));
        assert!(staged.len() == 63 && staged.contains("__dbt_tmp"), "{staged}");
    }

    #[test]
    fn a_contract_takes_types_of_a_family_for_the_same() {
        let same = |left: &str, right: &str| {
            Adapter::Postgres.contract_type(left) == Adapter::Postgres.contract_type(right)
        };
        assert!(same("text", "character varying(10)"));
        assert!(same("numeric", "numeric(10,2)"));
        assert!(same("timestamp without time zone", "timestamp(3) without time zone"));
        assert!(same("integer", "smallint"));
        assert!(!same("integer", "bigint"));
        assert!(!same("integer", "integer[]"));
        assert!(!same("timestamp with time zone", "timestamp without time zone"));
        assert_ne!(Adapter::DuckDb.contract_type("VARCHAR"), Adapter::DuckDb.contract_type("TEXT"));
    }

    #[test]
    fn columns_are_widened_for_longer_texts_alone() {
        let columns = |list: &[(&str, &str)]| -> Columns {
            list.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
        };
        let there = columns(&[
            ("a", "character varying(5)"),
            ("b", "character varying(9)"),
            ("c", "integer"),
            ("d", "character varying(3)"),
        ]);
        let given = columns(&[
            ("a", "character varying(7)"),
            ("b", "character varying(3)"),
            ("c", "text"),
            ("d", "text"),
        ]);
        assert_eq!(
            widened(&there, &given),
            columns(&[("a", "character varying(7)"), ("d", "character varying(256)")])
        );
    }
}
