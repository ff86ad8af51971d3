//! Where the columns of models come from, for who looks at them: followed when somebody first asks, and again once something was built or a table has other
//! columns.

use std::sync::{Arc, Mutex, PoisonError};

use millstream_models::columns::{
    told::{databases, Followed, Told},
    Dialect,
};
use serde_json::Value;

use super::desk::Desk;
use crate::failure::{Doing, Failure};

/// What the columns were followed in: how often models were told of, and the generation of the tables.
type State = (u64, u64);

/// The columns as they were last followed.
#[derive(Default)]
pub(super) struct FollowedColumns(Mutex<Option<(State, Arc<Followed>)>>);

impl FollowedColumns {
    /// The columns as they are. Who asks meanwhile waits, and doesn't follow them a second time.
    pub(super) fn of(&self, desk: &Desk, generation: u64) -> Result<Arc<Followed>, Failure> {
        let store = desk.store()?;
        let state = (store.models_told(), generation);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, followed)) = kept.as_ref().filter(|(of, _)| *of == state) {
            return Ok(followed.clone());
        }
        let nodes = store.model_nodes()?;
        let documents: Vec<Value> =
            nodes.iter().map(|node| serde_json::from_str(&node.document).unwrap_or_default()).collect();
        let told: Vec<Told<'_>> = nodes
            .iter()
            .zip(&documents)
            .map(|(node, document)| Told { id: &node.id, document, compiled: node.compiled.as_deref() })
            .collect();
        let mut connection = desk.connection_to_build()?;
        let mut described = Vec::new();
        for database in databases(&told) {
            described.extend(connection.described(database).doing("looking at the columns of models")?);
        }
        let followed = Arc::new(Followed::of(&told, &described, Dialect::DuckDb));
        *kept = Some((state, followed.clone()));
        Ok(followed)
    }
}
