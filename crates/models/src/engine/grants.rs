//! Who may do what with a relation, as its configuration says: grants that are missing are given, those that were given before and are said no longer are taken back.

use std::collections::BTreeMap;

use millstream_core::build::{BuildConnection, Cell};
use serde_json::{Map, Value as Json};

use super::{ddl::literal, incremental::texts, run::warehouse_failed};
use crate::{
    context::relation::{quoted, Relation},
    error::Result,
    project::Adapter,
};

/// Grantees by privilege.
type Grants = BTreeMap<String, Vec<String>>;

/// Gives and takes back what a configuration says, by privilege. `keeps` says that the relation is the one that was there: only then it has grants of before.
///
/// Errors: the warehouse refuses a statement.
pub(super) fn apply(
    wanted: &Map<String, Json>,
    relation: &Relation,
    keeps: bool,
    connection: &mut dyn BuildConnection,
) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let wanted = said(wanted);
    let held = if keeps { held(relation, connection)? } else { Grants::new() };
    let all = statements(relation, &wanted, &held);
    if !all.is_empty() {
        connection.run(&all.join(";\n")).map_err(warehouse_failed)?;
    }
    Ok(())
}

/// What a configuration says.
fn said(config: &Map<String, Json>) -> Grants {
    config.iter().map(|(privilege, grantees)| (privilege.clone(), texts(grantees))).collect()
}

/// What the role that builds has granted.
fn held(relation: &Relation, connection: &mut dyn BuildConnection) -> Result<Grants> {
    let sql = format!(
        "select privilege_type, grantee from information_schema.role_table_grants \
         where grantor = current_role and grantee <> current_role and table_schema = {} and table_name = {} order by 1, 2",
        literal(relation.schema()),
        literal(relation.identifier())
    );
    let answer = connection.query(&sql, usize::MAX).map_err(warehouse_failed)?;
    let mut found = Grants::new();
    for row in answer.rows {
        if let [Cell::Text(privilege), Cell::Text(grantee)] = &row[..] {
            found.entry(privilege.to_lowercase()).or_default().push(grantee.clone());
        }
    }
    Ok(found)
}

/// What takes back and gives. Grantees are given to as they are written, and taken back from by their names as the server has them.
fn statements(relation: &Relation, wanted: &Grants, held: &Grants) -> Vec<String> {
    let without = |these: &Grants, those: &Grants| -> Grants {
        let missing = these.iter().map(|(privilege, grantees)| {
            let same = |other: &&String| other.eq_ignore_ascii_case(privilege);
            let others: Vec<&String> =
                those.iter().filter(|(other, _)| same(other)).flat_map(|(_, grantees)| grantees).collect();
            let has = |grantee: &String| others.iter().any(|other| other.eq_ignore_ascii_case(grantee));
            (privilege.clone(), grantees.iter().filter(|grantee| !has(grantee)).cloned().collect::<Vec<_>>())
        });
        missing.filter(|(_, grantees)| !grantees.is_empty()).collect()
    };
    let name = relation.render();
    let revoke = without(held, wanted).into_iter().map(|(privilege, grantees)| {
        let grantees: Vec<String> = grantees.iter().map(|grantee| quoted(grantee)).collect();
        format!("revoke {privilege} on {name} from {}", grantees.join(", "))
    });
    let grant = without(wanted, held)
        .into_iter()
        .map(|(privilege, grantees)| format!("grant {privilege} on {name} to {}", grantees.join(", ")));
    revoke.chain(grant).collect()
}

impl Adapter {
    /// Whether relations have grants.
    pub(super) fn has_grants(self) -> bool {
        self == Adapter::Postgres
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(list: &[(&str, &[&str])]) -> Grants {
        list.iter()
            .map(|(privilege, grantees)| {
                ((*privilege).to_owned(), grantees.iter().map(|grantee| (*grantee).to_owned()).collect())
            })
            .collect()
    }

    #[test]
    fn what_is_missing_is_given_and_what_is_too_much_is_taken_back() {
        let relation = Relation::new("d", "s", "t");
        let wanted = grants(&[("select", &["a", "b"]), ("insert", &["a"])]);
        let held = grants(&[("select", &["B", "c"]), ("update", &["c"])]);
        assert_eq!(
            statements(&relation, &wanted, &held),
            [
                "revoke select on \"d\".\"s\".\"t\" from \"c\"",
                "revoke update on \"d\".\"s\".\"t\" from \"c\"",
                "grant insert on \"d\".\"s\".\"t\" to a",
                "grant select on \"d\".\"s\".\"t\" to a"
            ]
        );
        assert!(statements(&relation, &wanted, &wanted).is_empty());
    }
}
