//! A table's rows as a grid shows them, and one row's versions. Conditions come as `column.operator.value`, in the grammar of the address.

use millstream_core::{warehouse::HistoryNames, Parameter};

use super::{quoted, Building, Relation, Statement};
use crate::problem::Problem;

/// Which rows of a table a grid shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grid {
    /// Conditions that must all hold.
    pub filters: Vec<String>,
    /// The column that orders them, with `.asc` or `.desc` behind it.
    pub order: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Rows before them.
    pub offset: usize,
}

impl Relation {
    /// The statement for the rows.
    pub fn grid(&self, grid: &Grid) -> Result<Statement, Problem> {
        let mut building = Building { relation: self, parameters: Vec::new(), conditions: 0 };
        let mut sql = format!("SELECT * FROM {}{}", self.named(), self.filtered(&mut building, grid)?);
        let mut terms = Vec::new();
        if let Some(order) = &grid.order {
            terms.push(self.ordered(order)?);
        }
        // Rows that are otherwise equal keep their place from page to page.
        terms.extend(self.key.iter().map(|column| quoted(column)));
        if !terms.is_empty() {
            sql.push_str(&format!(" ORDER BY {}", terms.join(", ")));
        }
        for (word, number) in [("LIMIT", grid.limit), ("OFFSET", grid.offset)] {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            sql.push_str(&format!(" {word} {}", building.parameter(Parameter::Integer(number))));
        }
        Ok((sql, building.parameters))
    }

    /// The statement that counts all rows which pass the conditions.
    pub fn grid_count(&self, grid: &Grid) -> Result<Statement, Problem> {
        let mut building = Building { relation: self, parameters: Vec::new(), conditions: 0 };
        let sql = format!("SELECT count(*) FROM {}{}", self.named(), self.filtered(&mut building, grid)?);
        Ok((sql, building.parameters))
    }

    /// The statement for the versions of the row with this key, of a table's history: `columns`, then when it opened and closed (NULL while it is open),
    /// the operation, and the positions of both, the newest first.
    pub fn versions(
        &self,
        columns: &[String],
        key: &[(String, String)],
        names: &HistoryNames,
        limit: usize,
    ) -> Result<Statement, Problem> {
        let mut building = Building { relation: self, parameters: Vec::new(), conditions: 0 };
        let mut conditions = Vec::new();
        for (column, value) in key {
            conditions.push(building.condition(column, &format!("eq.{value}"))?);
        }
        let shown: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        let limit = building.parameter(Parameter::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        let sql = format!(
            "SELECT {}, {from}, CASE WHEN {current} THEN NULL ELSE {to} END, {operation}, _lsn, _seq, _lsn_to, _seq_to FROM {} WHERE {} \
             ORDER BY _lsn DESC, _seq DESC LIMIT {limit}",
            shown.join(", "),
            self.named(),
            conditions.join(" AND "),
            from = quoted(&names.valid_from),
            current = quoted(&names.is_current),
            to = quoted(&names.valid_to),
            operation = quoted(&names.operation_type),
        );
        Ok((sql, building.parameters))
    }

    fn named(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    fn filtered(&self, building: &mut Building<'_>, grid: &Grid) -> Result<String, Problem> {
        let mut conditions = Vec::new();
        for filter in &grid.filters {
            let (column, condition) = self.split_filter(filter)?;
            conditions.push(building.condition(column, condition)?);
        }
        Ok(if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) })
    }

    /// The column and the condition. A column's name may hold dots itself: the longest that fits is meant.
    fn split_filter<'a>(&self, filter: &'a str) -> Result<(&'a str, &'a str), Problem> {
        let rest = |name: &str| filter.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        let fitting = self.columns.iter().filter_map(|(name, _)| rest(name));
        match fitting.min_by_key(|rest| rest.len()) {
            Some(rest) => Ok((&filter[..filter.len() - rest.len() - 1], rest)),
            None => {
                let named = filter.split_once('.').map_or(filter, |(name, _)| name);
                Err(Problem::unknown_parameter(named, self.columns.iter().map(|(name, _)| name.as_str())))
            }
        }
    }

    fn ordered(&self, order: &str) -> Result<String, Problem> {
        let known = |name: &str| self.columns.iter().any(|(column, _)| column == name);
        for (suffix, direction) in [(".asc", "ASC"), (".desc", "DESC")] {
            if let Some(name) = order.strip_suffix(suffix).filter(|name| known(name)) {
                return Ok(format!("{} {direction}", quoted(name)));
            }
        }
        if known(order) {
            return Ok(quoted(order));
        }
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let expected = format!("one of {}, with .asc or .desc behind it", names.join(", "));
        Err(Problem::parameter("order", expected, order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Relation {
        let columns = [("id", "INTEGER"), ("id.desc", "VARCHAR"), ("odd\"one", "DATE"), ("limit", "VARCHAR")];
        Relation {
            schema: "shop".into(),
            name: "orders".into(),
            columns: columns.map(|(name, of)| (name.to_owned(), of.to_owned())).to_vec(),
            key: vec!["id".into()],
        }
    }

    fn grid(filters: &[&str], order: Option<&str>) -> Grid {
        let filters = filters.iter().map(|text| (*text).to_owned()).collect();
        Grid { filters, order: order.map(str::to_owned), limit: 200, offset: 400 }
    }

    #[test]
    fn a_page_is_made_of_names_that_are_known_and_values_that_are_bound() {
        let (sql, parameters) = orders()
            .grid(&grid(&["id.gte.5", "limit.eq.x' OR 1=1", "odd\"one.is.null"], Some("id.desc.desc")))
            .unwrap();
        assert_eq!(
            sql,
            "SELECT * FROM \"shop\".\"orders\" WHERE \"id\" >= $p1 AND \"limit\" = CAST($p2 AS VARCHAR) AND \"odd\"\"one\" IS NULL \
             ORDER BY \"id.desc\" DESC, \"id\" LIMIT $p3 OFFSET $p4"
        );
        let bound = [
            Parameter::Integer(5),
            Parameter::Text("x' OR 1=1".into()),
            Parameter::Integer(200),
            Parameter::Integer(400),
        ];
        assert_eq!(parameters.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), bound);
        let (sql, parameters) = orders().grid_count(&grid(&["id.desc.eq.x"], None)).unwrap();
        assert_eq!(sql, "SELECT count(*) FROM \"shop\".\"orders\" WHERE \"id.desc\" = CAST($p1 AS VARCHAR)");
        assert_eq!(parameters.len(), 1);
    }

    #[test]
    fn what_is_unknown_is_said() {
        let code = |filters: &[&str], order| orders().grid(&grid(filters, order)).unwrap_err().code;
        assert_eq!(code(&["nothing.eq.1"], None), "MS7103");
        assert_eq!(code(&["id"], None), "MS7103");
        assert_eq!(code(&["id.eq.x"], None), "MS7101");
        assert_eq!(code(&["id.about.1"], None), "MS7101");
        assert_eq!(code(&[], Some("nothing.desc")), "MS7101");
        assert_eq!(code(&[], Some("(select 1)")), "MS7101");
    }

    #[test]
    fn versions_are_found_by_the_key_alone() {
        let names = HistoryNames { valid_from: "effective_from".into(), ..HistoryNames::default() };
        let (sql, parameters) =
            orders().versions(&["id".into()], &[("id".into(), "7".into())], &names, 10).unwrap();
        assert!(
            sql.starts_with(
                "SELECT \"id\", \"effective_from\", CASE WHEN \"is_current\" THEN NULL ELSE \"valid_to\" END"
            ),
            "{sql}"
        );
        assert!(sql.ends_with("WHERE \"id\" = $p1 ORDER BY _lsn DESC, _seq DESC LIMIT $p2"), "{sql}");
        assert_eq!(parameters.len(), 2);
        assert!(orders().versions(&["id".into()], &[("x".into(), "7".into())], &names, 10).is_err());
    }
}
