//! What the statements of the project read, and which of them can't be run: asked of the warehouse once for each state of its views and of the
//! project's files.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError},
};

use millstream_core::{warehouse::WarehouseReader, Description};

use super::{super::route::Site, files::folded};
use crate::{
    dashboard::ChartOf,
    host::{described, Dashboards, Endpoints, Host},
    problem::Problem,
};

/// The names of what a statement reads, as they are compared: by itself and through models.
pub(super) type Reads = BTreeSet<Arc<str>>;

/// What is known of the statements.
pub(super) struct Survey {
    generation: u64,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) dashboards: Arc<Dashboards>,
    /// Of each model, by its folded name.
    pub(super) models: HashMap<Arc<str>, Reads>,
    /// Of each endpoint, by its path, or why it can't be run.
    by_path: HashMap<String, Result<Reads, String>>,
    /// Of each chart, by dashboard and place; those of endpoints and those that can't be run are left out.
    charts: HashMap<(String, usize), Reads>,
}

/// The last survey, while it holds.
pub(super) type Kept = Option<Arc<Survey>>;

impl Survey {
    /// What an endpoint reads.
    pub(super) fn endpoint(&self, path: &str) -> Option<&Reads> {
        self.by_path.get(path)?.as_ref().ok()
    }

    /// Why an endpoint can't be run.
    pub(super) fn endpoint_error(&self, path: &str) -> Option<&str> {
        self.by_path.get(path)?.as_ref().err().map(String::as_str)
    }

    /// What a chart reads.
    pub(super) fn chart(&self, dashboard: &str, index: usize) -> Option<&Reads> {
        self.charts.get(&(dashboard.to_owned(), index))
    }

    fn holds(&self, generation: u64, host: &dyn Host) -> bool {
        self.generation == generation
            && Arc::ptr_eq(&self.endpoints, &host.endpoints())
            && Arc::ptr_eq(&self.dashboards, &host.dashboards())
    }
}

/// The survey of the project as it is.
pub(super) async fn of(site: &Site) -> Result<Arc<Survey>, Problem> {
    let generation = site.host().applied().generation;
    {
        let kept = site.console.survey.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(survey) = kept.as_ref().filter(|survey| survey.holds(generation, &**site.host())) {
            return Ok(survey.clone());
        }
    }
    let host = site.host().clone();
    let made = site.answers.reading().with_turn("looking at the statements", move |interrupt| {
        let mut reader = host.reader().map_err(fail)?;
        interrupt.arm(reader.interrupter())?;
        make(&*host, &mut *reader, generation)
    });
    let survey = Arc::new(made.await?);
    *site.console.survey.lock().unwrap_or_else(PoisonError::into_inner) = Some(survey.clone());
    Ok(survey)
}

fn fail(error: millstream_core::BoxedDiagnostic) -> Problem {
    Problem::of(&error, "looking at the statements", false)
}

fn make(host: &dyn Host, reader: &mut dyn WarehouseReader, generation: u64) -> Result<Survey, Problem> {
    let mut reads = |sql: &str| -> Result<Result<Reads, String>, Problem> {
        let names = |of: Description| of.reads.iter().map(|name| folded(&name.schema, &name.name)).collect();
        Ok(described(reader, sql).map_err(fail)?.map(names).map_err(|error| error.to_string()))
    };
    let mut models = HashMap::new();
    for model in host.models().map_err(fail)? {
        // One that does not work reads nothing; `status` says so.
        let read = reads(&model.select)?.unwrap_or_default();
        models.insert(folded(&model.name.schema, &model.name.name), read);
    }
    let (endpoints, dashboards) = (host.endpoints(), host.dashboards());
    let by_path = endpoints.served.iter().map(|of| Ok((of.path.clone(), reads(&of.sql)?)));
    let by_path = by_path.collect::<Result<_, Problem>>()?;
    let mut charts = HashMap::new();
    for dashboard in &dashboards.served {
        for (index, chart) in dashboard.charts.iter().enumerate() {
            let ChartOf::Sql(sql) = &chart.of else { continue };
            if let Ok(read) = reads(sql)? {
                charts.insert((dashboard.name.clone(), index), read);
            }
        }
    }
    Ok(Survey { generation, endpoints, dashboards, models, by_path, charts })
}
