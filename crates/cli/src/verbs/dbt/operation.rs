//! `run-operation`: a macro, called.

use std::sync::Arc;

use millstream_core::Exit;
use millstream_models::{
    engine::{
        live::Shared,
        operation,
        run::{Outcome as NodeOutcome, Status},
    },
    select::Ids,
};
use serde_json::{Map, Value};

use super::{mapping, seconds, write_results, Call};
use crate::{args::OperationFlags, failure::Outcome};

pub(super) fn run(call: &Call<'_>, flags: &OperationFlags) -> Outcome {
    let began = seconds();
    let arguments = mapping("--args", flags.args.as_deref(), "{name: orders}")?;
    let manifest = call.project()?;
    let console = call.console();
    let shared = Arc::new(Shared::new(manifest.clone(), Ids::new())?);
    let entry = operation::find(&shared, &flags.name)?;
    let warehouse = call.warehouse(&manifest.world.project)?;
    let outcome = operation::run(&shared, &*warehouse, &entry, &arguments, &console)?;
    let mut more = Map::new();
    more.insert("macro".into(), flags.name.as_str().into());
    more.insert("args".into(), Value::Object(arguments));
    let outcomes: Vec<NodeOutcome> = vec![outcome];
    write_results(&manifest, call, more, &outcomes, began)?;
    let failed = outcomes.iter().any(|outcome| outcome.status == Status::Error);
    if failed {
        for message in outcomes.iter().filter_map(|outcome| outcome.message.as_deref()) {
            console.failed(&format!("Error in macro {} ({})", entry.name, entry.original_path), message);
        }
    }
    Ok(if failed { Exit::Wrong as u8 } else { 0 })
}
