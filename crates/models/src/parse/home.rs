//! Tables that a project's home keeps live, as sources that no file declares.

use std::{collections::HashSet, sync::Arc};

use serde_json::{Map, Value as Json};

use super::{
    names,
    properties::{Patch, SourceTable},
    Manifest,
};
use crate::{
    error::{Problem, ProblemKind, Result},
    place::{Place, Text},
    project::home::LiveTable,
};

impl Manifest {
    /// Adds the tables of the project's home that it does not declare itself. They are told of as its sources once something refers to them.
    pub(super) fn add_live_tables(&mut self) -> Result<()> {
        let world = self.world.clone();
        let Some(home) = &world.project.options.home else { return Ok(()) };
        let declared: HashSet<(String, String)> = self
            .sources
            .values()
            .chain(self.disabled.iter())
            .map(|node| (names::text(node.extra.get("source_name")), node.name.clone()))
            .collect();
        let tables = match &home.tables {
            Some(tables) => tables.clone(),
            None => {
                let nodes = self.nodes.values().chain(self.exposures.values());
                let named: HashSet<_> = nodes.flat_map(|node| &node.sources).collect();
                named.into_iter().map(|source| home.guess(source)).collect()
            }
        };
        for table in tables.into_iter().filter(|table| !declared.contains(&table.source)) {
            let node = self.source_node(&world, &as_declared(table, &world.project.root().name))?;
            self.live.insert(node.unique_id.clone(), node);
        }
        Ok(())
    }

    /// Tells of those that something refers to.
    pub(super) fn keep_referred(&mut self) {
        let nodes = self.nodes.values().chain(self.exposures.values());
        let referred: HashSet<&String> =
            nodes.flat_map(|node| &node.depends_on).filter(|id| self.live.contains_key(*id)).collect();
        let referred: Vec<String> = referred.into_iter().cloned().collect();
        if referred.is_empty() {
            return;
        }
        for id in referred {
            self.sources.extend(self.live.shift_remove_entry(&id));
        }
        self.sources.sort_keys();
    }

    /// An error where something is to be built in the place of a table that is kept live.
    pub(super) fn check_home(&self) -> Result<()> {
        let Some(home) = &self.world.project.options.home else { return Ok(()) };
        let kept: HashSet<(String, String)> = home
            .tables
            .iter()
            .flatten()
            .map(|table| (table.schema.to_lowercase(), table.name.to_lowercase()))
            .collect();
        let built = self.nodes.values().filter(|node| node.is_refable() && !node.is_ephemeral());
        for node in built {
            let (schema, name) = (node.schema.to_lowercase(), node.alias.to_lowercase());
            let what = if schema == home.hidden_schema.to_lowercase() {
                "in a schema that only the warehouse itself writes to"
            } else if kept.contains(&(schema, name)) {
                "in the place of what follows a table of the source"
            } else {
                continue;
            };
            let message =
                format!("`{}` is to be built as {}.{}, {what}", node.unique_id, node.schema, node.alias);
            return Err(Problem::new(ProblemKind::Duplicate, message)
                .around(names::describe(node))
                .hint("give it another alias or schema")
                .into());
        }
        Ok(())
    }
}

/// What a file would have said of it.
fn as_declared(table: LiveTable, package: &str) -> SourceTable {
    let text = Arc::new(Text { file: "the warehouse".into(), text: String::new() });
    let (source, name) = table.source;
    let [identifier, schema] = [table.name, table.schema].map(Json::String);
    let patch = Patch {
        section: "sources",
        name,
        package: package.to_owned(),
        // Where a file would be, for selections by path and for the names of folders.
        original_path: format!("models/{source}.yml"),
        place: Place::new(&text, 1, 1, 1),
        description: table.description,
        config: Map::new(),
        columns: Vec::new(),
        tests: Vec::new(),
        other: [("identifier".to_owned(), identifier)].into_iter().collect(),
        version: None,
    };
    let of_source = [("schema".to_owned(), schema)].into_iter().collect();
    SourceTable { source, patch, of_source, written: [Json::Null, Json::Null] }
}
