//! Macros: those of the project and its packages, and the library that every project has.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{json, Value as Json};

use super::materialization;
use crate::{
    error::{Problem, ProblemKind, Result},
    jinja::{tags, template, JinjaError, Macro, Stmt},
    place::{Place, Text},
    project::{files, Adapter, Project},
};

/// The package that the library is told under.
pub const LIBRARY: &str = "dbt";

/// The library's source: what projects call, and what nodes are built by where a project has macros of its own for it.
const LIBRARY_SOURCES: &[(&str, &str)] = &[
    ("macros/dbt.sql", include_str!("library.sql")),
    (MATERIALIZATIONS, include_str!("materializations.sql")),
    (TESTS, include_str!("tests.sql")),
    (SEEDS, include_str!("seeds.sql")),
    (SNAPSHOTS, include_str!("snapshots.sql")),
    ("macros/external.sql", include_str!("external.sql")),
];

/// What the library has otherwise for PostgreSQL, and the parts of materializations there.
const OF_POSTGRES: &[(&str, &str)] = &[
    ("macros/postgres.sql", include_str!("postgres.sql")),
    (MATERIALIZATIONS, include_str!("postgres_materializations.sql")),
];

/// The files of the library with the parts of materializations: those that models are made of, and others have too; those of tests, seeds and snapshots alone.
const MATERIALIZATIONS: &str = "macros/materializations.sql";
const TESTS: &str = "macros/tests.sql";
const SEEDS: &str = "macros/seeds.sql";
const SNAPSHOTS: &str = "macros/snapshots.sql";

/// The flag of `dbt_project.yml` that lets packages put materializations in the place of dbt's where it is false.
const EXPLICIT_OVERRIDES: &str = "require_explicit_package_overrides_for_builtin_materializations";

/// What projects call and nodes are built by, too.
const CALLED_AND_PARTS: &[(&str, &str)] = &[
    ("should_full_refresh", MATERIALIZATIONS),
    ("should_store_failures", TESTS),
    ("current_timestamp", SNAPSHOTS),
    ("equals", SNAPSHOTS),
];

/// What dbt does in macros of its own and this program does natively whatever a project has. A project that overrides one of them would be built otherwise than it says, so
/// it is refused.
const NATIVE: &[&str] = &[
    "statement",
    "create_schema",
    "drop_relation",
    "rename_relation",
    "list_relations_without_caching",
    "sync_column_schemas",
    "check_for_schema_changes",
    "alter_relation_add_remove_columns",
    "alter_column_type",
    "get_replace_sql",
    "get_rename_intermediate_sql",
    "get_assert_columns_equivalent",
    "assert_columns_equivalent",
    "get_table_columns_and_constraints",
    "table_columns_and_constraints",
    "get_column_names",
    "get_select_subquery",
    "get_quoted_csv",
    "get_column_schema_from_query",
    "get_empty_schema_sql",
    "get_empty_subquery_sql",
    "format_column",
    "alter_relation_comment",
    "alter_column_comment",
    "validate_doc_columns",
    "drop_relation_if_exists",
    "get_or_create_relation",
    "py_current_timestring",
    "check_time_data_types",
    "get_updated_at_column_data_type",
    "get_snapshot_get_time_data_type",
    "get_show_sql",
    "get_unit_test_sql",
    "get_expected_sql",
    "get_fixture_sql",
    "get_catalog",
    "get_catalog_relations",
];

/// A macro and where it comes from.
#[derive(Debug)]
pub struct MacroEntry {
    /// `macro.shop.cents`.
    pub unique_id: String,
    /// Its package.
    pub package: String,
    /// Its name; that of a test begins with `test_`.
    pub name: String,
    /// As written.
    pub sql: String,
    /// Its file relative to its package.
    pub original_path: String,
    /// Parsed.
    pub definition: Arc<Macro>,
    /// From its properties.
    pub properties: Json,
    /// Of a materialization: the languages of the models that it is for.
    pub languages: Option<Vec<String>>,
}

impl MacroEntry {
    /// As in the manifest. `calls` are the macros that it calls.
    pub fn to_json(&self, calls: &[String], created_at: f64) -> Json {
        let of = |key: &str, default: Json| self.properties.get(key).cloned().unwrap_or(default);
        json!({
            "name": self.name,
            "resource_type": "macro",
            "package_name": self.package,
            "path": self.original_path,
            "original_file_path": self.original_path,
            "unique_id": self.unique_id,
            "macro_sql": self.sql,
            "depends_on": {"macros": calls},
            "description": of("description", "".into()),
            "meta": of("meta", json!({})),
            "docs": of("docs", json!({"show": true, "node_color": null})),
            "config": {"meta": of("meta", json!({})), "docs": of("docs", json!({"show": true, "node_color": null}))},
            "patch_path": of("patch_path", Json::Null),
            "arguments": of("arguments", json!([])),
            "created_at": created_at,
            "supported_languages": self.languages,
        })
    }
}

/// All macros, by package and name.
#[derive(Debug, Default)]
pub struct Macros {
    packages: HashMap<String, HashMap<String, Arc<MacroEntry>>>,
    /// Names, without an adapter's prefix, of the library's parts of materializations, with the files that they are in.
    parts: HashMap<String, &'static str>,
    /// The parts that a project has itself, by the file that the library's are in: packages and names.
    own_parts: BTreeMap<&'static str, Vec<(String, String)>>,
    /// Packages whose macros are found for all nodes in the place of dbt's: the project, and those that it dispatches dbt's macros to.
    first: Vec<String>,
    /// Macros of other packages with names of what is built in here, by package: they are found for nodes of theirs alone.
    native: Vec<(String, Problem)>,
    /// Whether a package's materialization goes before dbt's of its name.
    pub packages_override: bool,
    /// All of them, the library's included, in the order of their files.
    pub all: Vec<Arc<MacroEntry>>,
}

impl Macros {
    /// Reads the macros of a project, and tells each file to `texts`.
    pub fn read(project: &Project, texts: &mut dyn FnMut(&Arc<Text>)) -> Result<Self> {
        let of_dbt = project.root().dispatch.iter().find(|(namespace, _)| namespace == LIBRARY);
        let mut first = of_dbt.map(|(_, order)| order.clone()).unwrap_or_default();
        first.push(project.root().name.clone());
        let explicit = project.root().flags.get(EXPLICIT_OVERRIDES);
        let packages_override = explicit == Some(&Json::Bool(false));
        let mut macros = Macros { first, packages_override, ..Macros::default() };
        let more = match project.target.kind {
            Adapter::DuckDb => &[][..],
            Adapter::Postgres => OF_POSTGRES,
        };
        for (path, source) in LIBRARY_SOURCES.iter().chain(more) {
            let library = Arc::new(Text { file: "macros of dbt".into(), text: (*source).to_owned() });
            macros.add_file(LIBRARY, path, &library)?;
        }
        for package in &project.packages {
            let mut dirs = package.paths.macros.clone();
            dirs.extend(package.paths.tests.iter().map(|dir| format!("{dir}/generic")));
            for found in files::find(&package.root, &dirs, &[".sql"])? {
                let original = found.from_root();
                let text = files::read(&found.path, &display(&package.relative_root, &original))?;
                texts(&text);
                macros.add_file(&package.name, &original, &text)?;
            }
        }
        Ok(macros)
    }

    /// Adds the macros of a file.
    pub fn add_file(&mut self, package: &str, original: &str, text: &Arc<Text>) -> Result<()> {
        let failed =
            |error: JinjaError| Problem::from_jinja(error.in_file(&text.file), |_| Some(text.clone()));
        let kinds = ["macro", "test", "materialization"];
        for block in tags::blocks(&text.text, &kinds).map_err(failed)? {
            let place = Place::new(text, block.spot.line as usize, block.spot.column as usize, 1);
            let whole = &text.text[block.whole.clone()];
            let (mut source, mut languages) = (whole.to_owned(), None);
            if block.kind == "test" {
                source = as_macro(whole, &block);
            } else if block.kind == "materialization" {
                let head = materialization::Head::of(&block.header).map_err(|error| error.at(&place))?;
                head.check().map_err(|error| error.at(&place))?;
                source = head.as_macro(whole, block.contents.start - block.whole.start);
                languages = Some(head.languages);
            }
            let origin = block.spot;
            let parsed = template(&source, &text.file, origin).map_err(failed)?;
            let definition = parsed.body.into_iter().find_map(|stmt| match stmt {
                Stmt::Macro(definition) => Some(definition),
                _ => None,
            });
            let Some(definition) = definition else {
                return Err(failed(JinjaError::new("this block holds no macro")).at(&place).into());
            };
            let entry = MacroEntry {
                unique_id: format!("macro.{package}.{}", definition.name),
                package: package.to_owned(),
                name: definition.name.to_string(),
                sql: whole.to_owned(),
                original_path: original.to_owned(),
                definition,
                properties: Json::Null,
                languages,
            };
            self.add(entry, &place)?;
        }
        Ok(())
    }

    fn add(&mut self, entry: MacroEntry, place: &Place) -> Result<()> {
        let (name, package) = (&entry.name, &entry.package);
        let plain = name.split_once("__").map_or(name.as_str(), |(_, plain)| plain);
        let among = |names: &dyn Fn(&str) -> bool| names(name) || names(plain);
        if package != LIBRARY && among(&|name| NATIVE.contains(&name)) {
            let problem = Problem::new(
                ProblemKind::Unsupported,
                format!("the macro `{name}` overrides one of dbt's that is built in here; that is not supported yet"),
            )
            .at(place);
            if self.first.contains(package) {
                return Err(problem.into());
            }
            self.native.push((package.clone(), problem));
        }
        if package != LIBRARY {
            let own = [name.as_str(), plain].into_iter().find_map(|name| self.parts.get(name));
            if let Some(file) = own {
                self.own_parts.entry(file).or_default().push((package.clone(), name.clone()));
            }
        } else if entry.languages.is_none() {
            let of_file = [MATERIALIZATIONS, TESTS, SEEDS, SNAPSHOTS]
                .into_iter()
                .find(|file| *file == entry.original_path);
            let called = CALLED_AND_PARTS.iter().find(|(called, _)| *called == plain).map(|(_, file)| *file);
            if let Some(file) = of_file.or(called) {
                self.parts.insert(plain.to_owned(), file);
            }
        }
        let of_package = self.packages.entry(package.clone()).or_default();
        if let Some(first) = of_package.get(name) {
            return Err(Problem::new(
                ProblemKind::Duplicate,
                format!("two macros of package `{package}` are named `{name}`"),
            )
            .at(place)
            .hint(format!("the first is in {}", first.original_path))
            .into());
        }
        let entry = Arc::new(entry);
        of_package.insert(entry.name.clone(), entry.clone());
        self.all.push(entry);
        Ok(())
    }

    /// An error where a package with nodes of its own has a macro in the place of what is built in here.
    pub fn check_native(&self, has_nodes: impl Fn(&str) -> bool) -> Result<()> {
        match self.native.iter().find(|(package, _)| has_nodes(package)) {
            Some((_, problem)) => Err(problem.clone().into()),
            None => Ok(()),
        }
    }

    /// Whether a project has parts of this materialization of its own, so that what has it is built by macros.
    pub fn has_own_parts_of(&self, materialization: &str) -> bool {
        let file = match materialization {
            "test" => TESTS,
            "seed" => SEEDS,
            "snapshot" => SNAPSHOTS,
            _ => MATERIALIZATIONS,
        };
        self.own_parts.contains_key(file) || self.own_parts.contains_key(MATERIALIZATIONS)
    }

    /// A macro that is found for a snapshot of this package in the place of what snapshots are made of.
    pub fn own_part_of_snapshots(&self, package: &str) -> Option<&str> {
        let own =
            [SNAPSHOTS, MATERIALIZATIONS].into_iter().filter_map(|file| self.own_parts.get(file)).flatten();
        let mut found = own.filter(|(of, _)| of == package || self.first.contains(of));
        found.next().map(|(_, name)| name.as_str())
    }

    /// A macro of one package.
    pub fn of_package(&self, package: &str, name: &str) -> Option<&Arc<MacroEntry>> {
        self.packages.get(package)?.get(name)
    }

    /// The names of a package's macros, in the order of their files.
    pub fn names_of<'m>(&'m self, package: &'m str) -> impl Iterator<Item = &'m str> {
        self.all.iter().filter(move |entry| entry.package == package).map(|entry| entry.name.as_str())
    }

    /// The first macro of a name, whatever its package.
    pub fn of_any(&self, name: &str) -> Option<&Arc<MacroEntry>> {
        self.all.iter().find(|entry| entry.name == name)
    }

    /// Whether there is a package of this name with macros.
    pub fn has_package(&self, package: &str) -> bool {
        self.packages.contains_key(package)
    }

    /// What a name without a package means to a node of `package`: its own package's macro, the root project's, the library's.
    pub fn find(&self, package: &str, root: &str, name: &str) -> Option<&Arc<MacroEntry>> {
        [package, root, LIBRARY].iter().find_map(|package| self.of_package(package, name))
    }

    /// Whether a project overrides one of the library's macros.
    pub fn overrides(&self, name: &str) -> bool {
        self.packages.iter().any(|(package, macros)| {
            package != LIBRARY
                && macros.keys().any(|key| {
                    key == name || key.strip_suffix(name).is_some_and(|prefix| prefix.ends_with("__"))
                })
        })
    }
}

/// A `test` block as the macro that it is: `test_` before its name.
fn as_macro(source: &str, block: &tags::Block) -> String {
    let head = block.contents.start - block.whole.start;
    let tail = block.contents.end - block.whole.start;
    let (open, close) = (&source[..head], &source[tail..]);
    let keyword = if open.contains("data_test") { "data_test" } else { "test" };
    // The keyword makes way for `macro`, and the name's prefix for the blanks around: places within the block's contents stay.
    let open =
        open.replacen(keyword, "macro", 1).replacen(block.name(), &format!("test_{}", block.name()), 1);
    let close = close.replacen("enddata_test", "endmacro", 1).replacen("endtest", "endmacro", 1);
    format!("{open}{}{close}", &source[head..tail])
}

/// How a package's file is told to a person: relative to the root project.
pub fn display(relative_root: &str, original: &str) -> String {
    if relative_root.is_empty() {
        original.to_owned()
    } else {
        format!("{relative_root}/{original}")
    }
}
