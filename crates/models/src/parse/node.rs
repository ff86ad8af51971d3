//! Nodes: what a project consists of, as the manifest tells it.

use std::{collections::HashMap, sync::Arc};

use serde_json::{json, Map, Value as Json};

use super::{
    names,
    unit::UnitTest,
    version::{self, Version},
};
use crate::{engine::batches::Batch, jinja::Template};

/// The incremental strategies that are done natively.
const STRATEGIES: &[&str] = &["default", "append", "delete+insert", "merge", "microbatch"];

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// A model.
    Model,
    /// A file of rows.
    Seed,
    /// A generic or singular test.
    Test,
    /// SQL that is compiled and never run.
    Analysis,
    /// A table of a source.
    Source,
    /// What is made of models elsewhere.
    Exposure,
    /// A hook of the project.
    Operation,
    /// The history of a relation, kept by looking at it again and again.
    Snapshot,
    /// A model's SQL on rows that are given.
    UnitTest,
}

impl Resource {
    /// Its name in unique ids, selections and artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Model => "model",
            Resource::Seed => "seed",
            Resource::Test => "test",
            Resource::Analysis => "analysis",
            Resource::Source => "source",
            Resource::Exposure => "exposure",
            Resource::Operation => "operation",
            Resource::Snapshot => "snapshot",
            Resource::UnitTest => "unit_test",
        }
    }

    /// Its section in `dbt_project.yml`.
    pub fn section(self) -> &'static str {
        match self {
            Resource::Seed => "seeds",
            Resource::Test => "tests",
            Resource::Source => "sources",
            Resource::Exposure => "exposures",
            Resource::Snapshot => "snapshots",
            Resource::UnitTest => "unit_tests",
            // An analysis is configured like a model, and no folder of models is one of analyses.
            _ => "models",
        }
    }
}

/// A call of `ref`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RefArgs {
    /// The package, where it is named.
    pub package: Option<String>,
    /// The model, seed or snapshot.
    pub name: String,
    /// The version, where it is named.
    pub version: Option<Json>,
}

impl RefArgs {
    /// The name, with the version where one is named.
    pub fn search_name(&self) -> String {
        match &self.version {
            Some(version) => format!("{}.v{}", self.name, version::text(version)),
            None => self.name.clone(),
        }
    }

    /// As in the manifest.
    pub fn to_json(&self) -> Json {
        json!({"name": self.name, "package": self.package, "version": self.version})
    }
}

/// What only a generic test has.
#[derive(Debug, Clone)]
pub struct TestFacts {
    /// The test's name, without namespace.
    pub name: String,
    /// Its namespace, where it is named.
    pub namespace: Option<String>,
    /// Arguments of its macro, not rendered.
    pub kwargs: Map<String, Json>,
    /// The column that it is about.
    pub column: Option<String>,
    /// The node that it is attached to.
    pub attached: Option<String>,
    /// `models.orders`.
    pub file_key: String,
    /// The version of the model that it is attached to.
    pub version: Option<Json>,
}

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    /// `model.shop.orders`.
    pub unique_id: String,
    /// What it is.
    pub resource: Resource,
    /// Its name.
    pub name: String,
    /// Its package.
    pub package: String,
    /// Its file relative to the directory of its kind.
    pub path: String,
    /// Its file relative to its package.
    pub original_path: String,
    /// Package, directories, name.
    pub fqn: Vec<String>,
    /// The name of its relation.
    pub alias: String,
    /// Where its relation is.
    pub database: String,
    /// Where its relation is.
    pub schema: String,
    /// As written, without blank around it.
    pub raw: Arc<str>,
    /// Of the file.
    pub checksum: Option<String>,
    /// Merged from project, properties and file.
    pub config: Map<String, Json>,
    /// What was said of it, without defaults.
    pub unrendered: Map<String, Json>,
    /// From its properties.
    pub description: String,
    /// From its properties.
    pub columns: Map<String, Json>,
    /// Of its contract, where one is enforced.
    pub contract_checksum: Option<String>,
    /// What its foreign keys refer to: as they say it, and as a statement names it.
    pub foreign_targets: HashMap<String, String>,
    /// The file of its properties: `package://path`.
    pub patch_path: Option<String>,
    /// What it refers to.
    pub refs: Vec<RefArgs>,
    /// Tables of sources that it reads.
    pub sources: Vec<(String, String)>,
    /// Unique ids of what it depends on.
    pub depends_on: Vec<String>,
    /// Unique ids of macros that it calls.
    pub macros: Vec<String>,
    /// Names that `doc` was called with in its descriptions.
    pub doc_blocks: Vec<String>,
    /// For generic tests.
    pub test: Option<TestFacts>,
    /// For unit tests.
    pub unit: Option<Arc<UnitTest>>,
    /// What a source's table is read from in the place of its relation, as SQL.
    pub external: Option<String>,
    /// Tags that it has from elsewhere: a test those of its column.
    pub more_tags: Vec<String>,
    /// What the manifest has beyond all this, by kind.
    pub extra: Map<String, Json>,
    /// The parsed file.
    pub template: Option<Arc<Template>>,
    /// When it was parsed, in seconds since 1970.
    pub created_at: f64,
    /// The batch that it is built for at the moment.
    pub batch: Option<Batch>,
}

impl Node {
    /// A node of which no more is known than what it is and where it comes from.
    pub fn blank(resource: Resource, package: &str, name: &str, path: &str, original: &str) -> Self {
        Node {
            unique_id: format!("{}.{package}.{name}", resource.name()),
            resource,
            name: name.to_owned(),
            package: package.to_owned(),
            path: path.to_owned(),
            original_path: original.to_owned(),
            fqn: names::fqn(package, path, name),
            alias: name.to_owned(),
            database: String::new(),
            schema: String::new(),
            raw: "".into(),
            checksum: None,
            config: Map::new(),
            unrendered: Map::new(),
            description: String::new(),
            columns: Map::new(),
            contract_checksum: None,
            foreign_targets: HashMap::new(),
            patch_path: None,
            refs: Vec::new(),
            sources: Vec::new(),
            depends_on: Vec::new(),
            macros: Vec::new(),
            doc_blocks: Vec::new(),
            test: None,
            unit: None,
            external: None,
            more_tags: Vec::new(),
            extra: Map::new(),
            template: None,
            created_at: names::now(),
            batch: None,
        }
    }

    /// Whether it is enabled.
    pub fn enabled(&self) -> bool {
        self.config.get("enabled") != Some(&Json::Bool(false))
    }

    /// A text of its configuration.
    pub fn config_str(&self, key: &str) -> Option<&str> {
        self.config.get(key).and_then(Json::as_str)
    }

    /// How it is materialised.
    pub fn materialized(&self) -> &str {
        self.config_str("materialized").unwrap_or("view")
    }

    /// Whether it is a model without a relation of its own.
    pub fn is_ephemeral(&self) -> bool {
        self.resource == Resource::Model && self.materialized() == "ephemeral"
    }

    /// Whether it is a model that grows.
    pub fn is_incremental(&self) -> bool {
        self.resource == Resource::Model && self.materialized() == "incremental"
    }

    /// Whether it is an incremental model by a strategy that is a macro of a project's own.
    pub fn has_own_strategy(&self) -> bool {
        let strategy = self.config_str("incremental_strategy").unwrap_or("default");
        self.is_incremental() && !STRATEGIES.contains(&strategy)
    }

    /// Its version, where it has one.
    pub fn version(&self) -> Option<&Json> {
        self.extra.get("version").filter(|version| !version.is_null())
    }

    /// The version that a `ref` without one means.
    pub fn latest_version(&self) -> Option<&Json> {
        self.extra.get("latest_version").filter(|version| !version.is_null())
    }

    /// Its name, with its version where it is a model.
    pub fn search_name(&self) -> String {
        match self.version() {
            Some(version) if self.resource == Resource::Model => {
                format!("{}.v{}", self.name, version::text(version))
            }
            _ => self.name.clone(),
        }
    }

    /// Makes it a version of a model of another name than its file's.
    pub(super) fn become_version(&mut self, name: &str, version: &Version) {
        let suffix = version.suffix();
        self.name = name.to_owned();
        self.unique_id = format!("{}.{}.{name}.{suffix}", self.resource.name(), self.package);
        self.fqn.pop();
        self.fqn.extend([name.to_owned(), suffix]);
        self.extra.insert("version".into(), version.v.clone());
        self.extra.insert("latest_version".into(), version.latest.clone());
    }

    /// Whether what it gives is compared with the columns that it declares.
    pub fn has_contract(&self) -> bool {
        self.config.get("contract").and_then(|contract| contract.get("enforced")) == Some(&Json::Bool(true))
    }

    /// Whether its descriptions are to be written into the warehouse: those of the `relation`, those of its `columns`.
    pub fn persists_docs(&self, what: &str) -> bool {
        self.config.get("persist_docs").and_then(|docs| docs.get(what)) == Some(&Json::Bool(true))
    }

    /// Whether `ref` may name it.
    pub fn is_refable(&self) -> bool {
        matches!(self.resource, Resource::Model | Resource::Seed | Resource::Snapshot)
    }

    /// Its group; a test's is that of what it is attached to.
    pub fn group(&self) -> Option<&str> {
        self.extra.get("group").and_then(Json::as_str).or_else(|| self.config_str("group"))
    }

    /// Its tags.
    pub fn tags(&self) -> Vec<&str> {
        let own =
            self.config.get("tags").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        let mut tags: Vec<&str> = self.more_tags.iter().map(String::as_str).collect();
        for tag in own {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        if !self.more_tags.is_empty() && self.resource == Resource::Test {
            tags.sort_unstable();
        }
        tags
    }

    /// Whether it finds something wrong or not, rather than build something.
    pub fn is_test(&self) -> bool {
        matches!(self.resource, Resource::Test | Resource::UnitTest)
    }

    /// Whether it is a test written as a file.
    pub fn is_singular(&self) -> bool {
        self.resource == Resource::Test && self.test.is_none()
    }

    /// The relation's name, quoted; `None` where it has none.
    pub fn relation_name(&self) -> Option<String> {
        let has = match self.resource {
            Resource::Model => !self.is_ephemeral(),
            Resource::Seed | Resource::Source | Resource::Snapshot => true,
            Resource::Test => self.stores_failures(false),
            _ => false,
        };
        has.then(|| self.relation().render())
    }

    /// Whether it is a test that keeps the rows it finds. `otherwise` is what a flag says where the test says nothing.
    pub fn stores_failures(&self, otherwise: bool) -> bool {
        if self.resource != Resource::Test {
            return false;
        }
        match (self.config_str("store_failures_as"), self.config.get("store_failures")) {
            (Some("table" | "view"), _) => true,
            (Some(_), _) => false,
            (None, Some(Json::Bool(wanted))) => *wanted,
            _ => otherwise,
        }
    }

    /// Its relation.
    pub fn relation(&self) -> crate::context::relation::Relation {
        use crate::context::relation::Relation;
        let quoting = self.config.get("quoting").and_then(Json::as_object);
        let quoted = |part: &str| quoting.and_then(|q| q.get(part)).and_then(Json::as_bool).unwrap_or(true);
        let mut relation = Relation::new(&self.database, &self.schema, &self.alias);
        relation.quote = [quoted("database"), quoted("schema"), quoted("identifier")];
        relation.external.clone_from(&self.external);
        relation.kind = match (self.resource, self.materialized()) {
            (Resource::Source | Resource::Seed | Resource::Snapshot, _) | (_, "table" | "incremental") => {
                Some("table".into())
            }
            (_, kind @ ("view" | "materialized_view")) => Some(kind.into()),
            _ => None,
        };
        relation
    }

    /// As the manifest has it. `compiled` adds what compiling made of it.
    pub fn to_json(&self) -> Json {
        let docs =
            self.config.get("docs").cloned().unwrap_or_else(|| json!({"show": true, "node_color": null}));
        let checksum = match &self.checksum {
            // Of a seed too large to be hashed it is the path.
            Some(path) if *path == self.original_path => json!({"name": "path", "checksum": path}),
            Some(sum) => json!({"name": "sha256", "checksum": sum}),
            None => json!({"name": "none", "checksum": ""}),
        };
        let mut out = json!({
            "database": self.database,
            "schema": self.schema,
            "name": self.name,
            "resource_type": self.resource.name(),
            "package_name": self.package,
            "path": self.path,
            "original_file_path": self.original_path,
            "unique_id": self.unique_id,
            "fqn": self.fqn,
            "alias": self.alias,
            "checksum": checksum,
            "config": self.config,
            "tags": self.tags(),
            "description": self.description,
            "columns": self.columns,
            "meta": self.config.get("meta").cloned().unwrap_or_else(|| json!({})),
            "group": self.group(),
            "docs": docs,
            "patch_path": self.patch_path,
            "build_path": null,
            "unrendered_config": self.unrendered,
            "created_at": self.created_at,
            "relation_name": self.relation_name(),
            "raw_code": &*self.raw,
            "doc_blocks": self.doc_blocks,
        });
        let Json::Object(map) = &mut out else { return out };
        let mut put = |key: &str, value: Json| {
            map.insert(key.to_owned(), value);
        };
        if self.resource == Resource::Seed {
            put("depends_on", json!({"macros": self.macros}));
        } else {
            put("language", "sql".into());
            put("refs", self.refs.iter().map(RefArgs::to_json).collect());
            put("sources", self.sources.iter().map(|(source, table)| json!([source, table])).collect());
            put("metrics", json!([]));
            put("functions", json!([]));
            put("depends_on", json!({"macros": self.macros, "nodes": self.depends_on}));
            put("compiled_path", Json::Null);
            let aliases = self.config.get("contract").and_then(|contract| contract.get("alias_types"));
            let aliases = aliases != Some(&Json::Bool(false));
            put(
                "contract",
                json!({"enforced": self.has_contract(), "alias_types": aliases, "checksum": self.contract_checksum}),
            );
        }
        if let Some(test) = &self.test {
            put("column_name", json!(test.column));
            put("file_key_name", json!(test.file_key));
            put("attached_node", json!(test.attached));
            put(
                "test_metadata",
                json!({"name": test.name, "kwargs": test.kwargs, "namespace": test.namespace}),
            );
        }
        map.extend(self.extra.iter().map(|(key, value)| (key.clone(), value.clone())));
        out
    }
}
