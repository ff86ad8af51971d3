//! `clone`: what another run has built becomes visible here, as views on its relations. Neither DuckDB nor PostgreSQL can share a table's rows otherwise.

use std::sync::Arc;

use millstream_core::build::RelationKind;
use serde_json::json;

use super::{
    build::{check_place, finish, Built, Hooks, Made, Replacing},
    compile::{Compiled, SharedConnection},
    custom,
    live::{deferred_relation, Shared},
};
use crate::{
    context::{base::tell, relation::Relation},
    error::{Problem, ProblemKind, Result},
    parse::{
        materialization::{self, Materialization},
        names,
        node::Node,
        Manifest,
    },
};

/// Looks at what cloning needs before anything is made.
///
/// Errors: no other run is named or its manifest can't be read; the project says itself what can be cloned as a table.
pub fn check(manifest: &Manifest) -> Result<()> {
    let project = &manifest.world.project;
    project.pasts.named(&project.options, "clone")?;
    let adapter = format!("{}__can_clone_table", project.target.kind.name());
    let own = ["can_clone_table", "default__can_clone_table", &adapter];
    let macros = &manifest.world.macros;
    let packages = project.packages.iter();
    let entry =
        packages.flat_map(|package| own.map(|name| macros.of_package(&package.name, name))).flatten().next();
    match entry {
        Some(entry) => {
            let message = format!(
                "the macro `{}` ({}) says what is cloned as a table; that is not supported yet",
                entry.name, entry.original_path
            );
            Err(Problem::new(ProblemKind::Unsupported, message).into())
        }
        None => Ok(()),
    }
}

/// Makes a view on the relation that the other run has for a node, unless something is there already and `--full-refresh` doesn't ask for another.
///
/// Errors: the other run's relation is the node's own, the view can't be made, a hook fails.
pub(super) fn run(shared: &Arc<Shared>, node: &Node, connection: &SharedConnection) -> Result<Built> {
    let world = &shared.manifest.world;
    let options = &world.project.options;
    let past = world.project.pasts.named(options, "clone")?;
    let other = past.all.get(&node.unique_id).and_then(|other| Some((other, deferred_relation(other)?)));
    check_place(shared, node)?;
    let Some((other, from)) = other else {
        tell(&format!("The other run has no relation for {}", node.unique_id));
        return Ok(nothing());
    };
    let relation = Relation { kind: Some("view".into()), ..node.relation() };
    let there = shared.kind_of(node);
    if there.is_some() && !options.full_refresh {
        tell(&format!("{} is there already; --full-refresh puts a clone in its place", relation.render()));
        return Ok(nothing());
    }
    let is_same = |part: fn(&Relation) -> &str| part(&from).eq_ignore_ascii_case(part(&relation));
    if is_same(Relation::database) && is_same(Relation::schema) && is_same(Relation::identifier) {
        let message =
            format!("{} is the other run's own: a clone in its place would be of itself", relation.render());
        return Err(Problem::new(ProblemKind::Configuration, message)
            .around(names::describe(node))
            .hint("clone into another target or schema than the one that --state tells of")
            .into());
    }
    let written = other["relation_name"].as_str().map_or_else(|| from.render(), str::to_owned);
    let sql = format!("select * from {written}");
    let root = &world.project.root().name;
    if let Materialization::Macro(entry) =
        materialization::find(&world.macros, root, shared.dialect(), "view")?
    {
        let compiled = Compiled { sql, ctes: Vec::new(), ephemeral: Vec::new() };
        return custom::run(shared, node, &entry, &compiled, connection);
    }
    let work = || {
        let replacing = Replacing { shared, node, relation: &relation, there, connection };
        let (response, main) = replacing.whole(RelationKind::View, &sql)?;
        let built = Built::made(&response, main);
        finish(shared, node, Made { indexes: false, described: true, keeps: false }, connection)?;
        Ok(built)
    };
    let built = Hooks::of(shared, node, connection).around(work, || Ok(()))?;
    shared.note(node, RelationKind::View);
    Ok(built)
}

/// Nothing was made.
fn nothing() -> Built {
    Built { message: Some("No-op".into()), response: json!({}), ..Built::compiled() }
}
