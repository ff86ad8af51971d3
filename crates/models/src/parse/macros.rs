//! Macros: those of the project and its packages, and the library that every project has.

use std::{collections::HashMap, sync::Arc};

use serde_json::{json, Value as Json};

use crate::{
    error::{Problem, ProblemKind, Result},
    jinja::{tags, template, JinjaError, Macro, Stmt},
    place::{Place, Text},
    project::{files, Project},
};

/// The package that the library is told under.
pub const LIBRARY: &str = "dbt";

/// The library's source.
const LIBRARY_SOURCE: &str = include_str!("library.sql");

/// What dbt does in macros of its own and this program does natively. A project that overrides one of them would be built otherwise than it says, so it is refused.
const NATIVE: &[&str] = &[
    "create_table_as",
    "create_view_as",
    "get_create_table_as_sql",
    "get_create_view_as_sql",
    "create_csv_table",
    "load_csv_rows",
    "get_test_sql",
    "get_limit_subquery_sql",
    "get_incremental_append_sql",
    "get_incremental_delete_insert_sql",
    "get_incremental_merge_sql",
    "get_incremental_default_sql",
    "get_delete_insert_merge_sql",
    "get_merge_sql",
    "get_insert_into_sql",
    "statement",
    "run_hooks",
    "create_schema",
    "drop_relation",
    "rename_relation",
    "get_columns_in_relation_sql",
    "list_relations_without_caching",
    "sync_column_schemas",
    "process_schema_changes",
    "alter_relation_add_remove_columns",
    "alter_column_type",
    "persist_docs",
    "apply_grants",
    "create_indexes",
    "get_create_index_sql",
    "make_temp_relation",
    "make_intermediate_relation",
    "make_backup_relation",
    "get_replace_sql",
    "get_rename_intermediate_sql",
    "strategy_dispatch",
    "snapshot_timestamp_strategy",
    "snapshot_check_strategy",
    "snapshot_check_all_get_existing_columns",
    "snapshot_hash_arguments",
    "snapshot_get_time",
    "snapshot_staging_table",
    "snapshot_merge_sql",
    "build_snapshot_table",
    "build_snapshot_staging_table",
    "get_snapshot_table_column_names",
    "get_dbt_valid_to_current",
    "unique_key_fields",
    "unique_key_join_on",
    "unique_key_is_null",
    "unique_key_is_not_null",
    "create_columns",
    "post_snapshot",
    "get_true_sql",
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
            "supported_languages": null,
        })
    }
}

/// All macros, by package and name.
#[derive(Debug, Default)]
pub struct Macros {
    packages: HashMap<String, HashMap<String, Arc<MacroEntry>>>,
    /// All of them, the library's included, in the order of their files.
    pub all: Vec<Arc<MacroEntry>>,
}

impl Macros {
    /// Reads the macros of a project, and tells each file to `texts`.
    pub fn read(project: &Project, texts: &mut dyn FnMut(&Arc<Text>)) -> Result<Self> {
        let mut macros = Macros::default();
        let library = Arc::new(Text { file: "macros of dbt".into(), text: LIBRARY_SOURCE.to_owned() });
        macros.add_file(LIBRARY, "macros/dbt.sql", &library)?;
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
            if block.kind == "materialization" {
                return Err(Problem::new(
                    ProblemKind::Unsupported,
                    format!("the materialization `{}` of a project's own is not supported yet", block.name()),
                )
                .at(&place)
                .into());
            }
            let source = &text.text[block.whole.clone()];
            let (source, origin) = if block.kind == "test" {
                (as_macro(source, &block), block.spot)
            } else {
                (source.to_owned(), block.spot)
            };
            let parsed = template(&source, &text.file, origin).map_err(failed)?;
            let definition = parsed.body.into_iter().find_map(|stmt| match stmt {
                Stmt::Macro(definition) => Some(definition),
                _ => None,
            });
            let Some(definition) = definition else {
                return Err(failed(JinjaError::new("this block holds no macro")).at(&place).into());
            };
            self.add(package, original, text.text[block.whole.clone()].to_owned(), definition, &place)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        package: &str,
        original: &str,
        sql: String,
        definition: Arc<Macro>,
        place: &Place,
    ) -> Result<()> {
        let name = definition.name.to_string();
        let plain = name.split_once("__").map_or(name.as_str(), |(_, plain)| plain);
        if package != LIBRARY && (NATIVE.contains(&name.as_str()) || NATIVE.contains(&plain)) {
            return Err(Problem::new(
                ProblemKind::Unsupported,
                format!("the macro `{name}` overrides one of dbt's that is built in here; that is not supported yet"),
            )
            .at(place)
            .into());
        }
        let entry = Arc::new(MacroEntry {
            unique_id: format!("macro.{package}.{name}"),
            package: package.to_owned(),
            name: name.clone(),
            sql,
            original_path: original.to_owned(),
            definition,
            properties: Json::Null,
        });
        let of_package = self.packages.entry(package.to_owned()).or_default();
        if let Some(first) = of_package.get(&name) {
            return Err(Problem::new(
                ProblemKind::Duplicate,
                format!("two macros of package `{package}` are named `{name}`"),
            )
            .at(place)
            .hint(format!("the first is in {}", first.original_path))
            .into());
        }
        of_package.insert(name, entry.clone());
        self.all.push(entry);
        Ok(())
    }

    /// A macro of one package.
    pub fn of_package(&self, package: &str, name: &str) -> Option<&Arc<MacroEntry>> {
        self.packages.get(package)?.get(name)
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
