//! `source freshness`: how old the newest row of each table is, told and written to `sources.json`.

use std::sync::Arc;

use millstream_core::Exit;
use millstream_models::{
    artifacts,
    engine::{freshness, live::Shared},
    project::files,
    warning::Warning,
};

use super::{nothing, seconds, select, write_manifest, Call};
use crate::{args::FreshnessFlags, failure::Outcome};

pub(super) fn run(call: &Call<'_>, flags: &FreshnessFlags) -> Outcome {
    let began = seconds();
    let manifest = call.project()?;
    let ids = select(&manifest, call.flags, freshness::is_asked_for, call.output)?;
    let console = call.console();
    if let Some(path) = &flags.output {
        let text = format!(
            "`--output {}` puts what is told of sources into another file than `sources.json`",
            path.display()
        );
        let warning = Warning::of("CustomOutputPathInSourceFreshnessDeprecation", text);
        call.warn(&manifest.world.project.options, &warning)?;
    }
    console.found(&manifest);
    let (mut checked, mut hooks) = (Vec::new(), Vec::new());
    if ids.is_empty() {
        nothing(&manifest.world.project.options, &console)?;
    } else {
        let warehouse = call.warehouse(&manifest.world.project)?;
        console.concurrency(&manifest, ids.len());
        let shared = Arc::new(Shared::new(manifest.clone(), ids.clone())?);
        (checked, hooks) = freshness::check(&shared, &*warehouse, &ids, &console)?;
    }
    let ended = seconds();
    write_manifest(&manifest, &Default::default())?;
    let json = artifacts::sources(&manifest, &checked, ended - began, ended);
    let project = &manifest.world.project;
    let path = match &flags.output {
        Some(path) => project.options.project_dir.join(path),
        None => project.target_dir().join("sources.json"),
    };
    files::write(&path, &json.to_string())?;
    for checked in &checked {
        if let (Err(message), Some(node)) = (&checked.found, manifest.sources.get(&checked.unique_id)) {
            console.failed(&format!("Error in source {} ({})", node.name, node.original_path), message);
        }
    }
    for hook in &hooks {
        let message = hook.message.as_deref().unwrap_or_default();
        console.failed(&format!("Error in {}", hook.unique_id), message);
    }
    console.say("Done.");
    let failed = !hooks.is_empty() || checked.iter().any(freshness::Checked::is_wrong);
    Ok(if failed { Exit::Wrong as u8 } else { 0 })
}
