//! A hub: which packages there are, in which versions, and where each is got.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use serde_json::Value as Json;

use super::{
    versions::{newest, Bound},
    Fetch, Options,
};
use crate::{
    error::{Problem, ProblemKind, Result},
    place::{nearest, Text},
    project::package::DBT_VERSION,
    yaml::{self, Node},
};

/// The hub that dbt asks.
const ADDRESS: &str = "https://hub.getdbt.com/";

/// The variable that names another one.
const VARIABLE: &str = "DBT_PACKAGE_HUB_URL";

/// A hub, asked once for each package.
pub(super) struct Hub<'f> {
    fetch: &'f dyn Fetch,
    address: String,
    told: RefCell<HashMap<String, Arc<Json>>>,
}

impl<'f> Hub<'f> {
    /// The one that the environment names.
    pub(super) fn of(options: &Options, fetch: &'f dyn Fetch) -> Self {
        let named = options.env.get(VARIABLE).filter(|address| !address.is_empty());
        let mut address = named.cloned().unwrap_or_else(|| ADDRESS.to_owned());
        if !address.ends_with('/') {
            address.push('/');
        }
        Hub { fetch, address, told: RefCell::default() }
    }

    fn get(&self, what: &str) -> Result<Arc<Json>> {
        if let Some(known) = self.told.borrow().get(what) {
            return Ok(known.clone());
        }
        let url = format!("{}api/v1/{what}.json", self.address);
        let text = self.fetch.text(&url).map_err(|error| {
            Problem::new(ProblemKind::Configuration, format!("the hub does not answer: {}", error.describe())).hint(
                format!("packages can be had otherwise: a repository by `git:`, a folder by `local:`; another hub is named by {VARIABLE}"),
            )
        })?;
        let json: Json = serde_json::from_str(&text).map_err(|_| {
            Problem::new(ProblemKind::Configuration, format!("what {url} gives is no JSON, so it is no hub"))
        })?;
        Ok(self.told.borrow_mut().entry(what.to_owned()).or_insert(Arc::new(json)).clone())
    }

    /// The newest version of a package that all bounds admit, and that is for this version of dbt.
    ///
    /// Errors: the hub doesn't answer, has no such package, or no such version of it.
    pub(super) fn newest(&self, package: &str, bounds: &[Bound], prereleases: bool) -> Result<String> {
        let index = self.get("index")?;
        let names = || index.as_array().into_iter().flatten().filter_map(Json::as_str);
        if !names().any(|name| name == package) {
            let problem = Problem::new(ProblemKind::Missing, format!("the hub has no package `{package}`"));
            return Err(match nearest(package, names()) {
                Some(meant) => problem.hint(format!("did you mean `{meant}`?")).into(),
                None => problem.into(),
            });
        }
        let told = self.get(package)?;
        let versions = told["versions"].as_object();
        let all = || versions.into_iter().flatten();
        let fits = all().filter(|(_, version)| is_for_dbt(&version["require_dbt_version"]));
        if let Some(version) = newest(fits.map(|(version, _)| version.as_str()), bounds, prereleases) {
            return Ok(version.to_owned());
        }
        let asked: Vec<String> = bounds.iter().map(Bound::to_string).collect();
        let message =
            format!("no version of `{package}` is {} and for dbt {DBT_VERSION}", asked.join(" and "));
        let known: Vec<&str> = all().map(|(version, _)| version.as_str()).collect();
        Err(Problem::new(ProblemKind::Missing, message)
            .hint(format!("the hub has: {}", known.join(", ")))
            .into())
    }

    /// What a version of a package says of itself.
    ///
    /// Errors: the hub doesn't answer, or has no such version.
    pub(super) fn version(&self, package: &str, version: &str) -> Result<Json> {
        let told = self.get(package)?;
        match &told["versions"][version] {
            Json::Null => {
                let message = format!("the hub has no version {version} of `{package}`");
                let hint = "look for newer ones with `deps --upgrade`";
                Err(Problem::new(ProblemKind::Missing, message).hint(hint).into())
            }
            found => Ok(found.clone()),
        }
    }
}

/// The packages that a version of a package asks for itself.
///
/// Errors: they are not told as a list.
pub(super) fn asked_by(package: &str, version: &Json) -> Result<Vec<Node>> {
    let text = match &version["packages"] {
        Json::Null => return Ok(Vec::new()),
        list => list.to_string(),
    };
    // JSON is YAML.
    let root = yaml::parse(&Arc::new(Text { file: format!("{package} at the hub").into(), text }))?;
    Ok(root.items().to_vec())
}

/// Whether a package's `require_dbt_version` admits the version whose behaviour this program has.
fn is_for_dbt(required: &Json) -> bool {
    let bounds = match required {
        Json::String(text) => vec![text.as_str()],
        Json::Array(items) => items.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    let Some(ours) = super::versions::Version::parse(DBT_VERSION) else { return true };
    // What can't be read is not kept to, as nobody could.
    bounds.into_iter().filter_map(|bound| Bound::parse(bound).ok()).all(|bound| bound.admits(&ours))
}
