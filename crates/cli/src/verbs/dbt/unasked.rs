//! A warehouse that is not asked: what is compiled with `--no-introspect` finds nothing in it.

use millstream_core::{
    build::{Answer, BuildConnection, BuildWarehouse, BuiltRelation, DescribedRelation, Response},
    log::Result,
};
use millstream_models::{ModelsError, Problem, ProblemKind};

/// The warehouse, and its connections.
pub(super) struct Unasked;

fn refused<T>() -> Result<T> {
    let problem =
        Problem::new(ProblemKind::Warehouse, "nothing is asked of the warehouse with --no-introspect");
    Err(Box::new(ModelsError::from(problem)))
}

impl BuildWarehouse for Unasked {
    fn connect(&self) -> Result<Box<dyn BuildConnection>> {
        Ok(Box::new(Unasked))
    }
}

impl BuildConnection for Unasked {
    fn run(&mut self, _: &str) -> Result<Response> {
        refused()
    }

    fn query(&mut self, _: &str, _: usize) -> Result<Answer> {
        refused()
    }

    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    fn rollback(&mut self) -> Result<()> {
        Ok(())
    }

    fn relations(&mut self, _: &str) -> Result<Vec<BuiltRelation>> {
        Ok(Vec::new())
    }

    fn columns(&mut self, _: &str, _: &str, _: &str) -> Result<Vec<(String, String)>> {
        refused()
    }

    fn described(&mut self, _: &str) -> Result<Vec<DescribedRelation>> {
        refused()
    }
}
