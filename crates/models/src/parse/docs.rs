//! Docs blocks, and descriptions that name them.

use std::{rc::Rc, sync::Arc};

use indexmap::IndexMap;
use serde_json::{json, Value as Json};

use crate::{
    context::base,
    error::{Problem, Result},
    jinja::{fail, tags, template, Host, Interpreter, Spot, Value},
    project::{files, Package, Project},
};

/// A docs block.
#[derive(Debug, Clone)]
pub struct Doc {
    /// `doc.shop.orders`.
    pub unique_id: String,
    /// Its package.
    pub package: String,
    /// Its name.
    pub name: String,
    /// Its file below the directory that it was found in.
    pub path: String,
    /// Its file below its package.
    pub original_path: String,
    /// Its text.
    pub contents: Arc<str>,
}

/// All docs blocks by unique id.
#[derive(Debug, Default)]
pub struct Docs(pub IndexMap<String, Doc>);

impl Docs {
    /// Reads the blocks of a package.
    pub(super) fn read(&mut self, package: &Package) -> Result<()> {
        for found in files::find(&package.root, &package.paths.docs, &[".md"])? {
            let original = found.from_root();
            let text = files::read(&found.path, &super::macros::display(&package.relative_root, &original))?;
            let blocks = tags::blocks(&text.text, &["docs"])
                .map_err(|error| Problem::from_jinja(error.in_file(&text.file), |_| Some(text.clone())))?;
            for block in blocks {
                let doc = Doc {
                    unique_id: format!("doc.{}.{}", package.name, block.name()),
                    package: package.name.clone(),
                    name: block.name().to_owned(),
                    path: found.relative.clone(),
                    original_path: original.clone(),
                    contents: rendered(&text.text[block.contents.clone()], &text, block.spot)?.trim().into(),
                };
                self.0.insert(doc.unique_id.clone(), doc);
            }
        }
        Ok(())
    }

    /// A block: of the package named, or of the node's own, the root project's, any.
    pub fn find(&self, project: &Project, own: &str, package: Option<&str>, name: &str) -> Option<&Doc> {
        let of = |package: &str| self.0.get(&format!("doc.{package}.{name}"));
        match package {
            Some(package) => of(package),
            None => of(own)
                .or_else(|| of(&project.root().name))
                .or_else(|| self.0.values().find(|doc| doc.name == name)),
        }
    }

    /// Renders a description; the ids of blocks that it names are added to `named`.
    pub(super) fn describe(
        &self,
        project: &Project,
        package: &str,
        text: &str,
        named: &mut Vec<String>,
    ) -> std::result::Result<String, Problem> {
        if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
            return Ok(text.to_owned());
        }
        let blocks: IndexMap<(String, String), (String, Arc<str>)> = self
            .0
            .values()
            .map(|doc| {
                ((doc.package.clone(), doc.name.clone()), (doc.unique_id.clone(), doc.contents.clone()))
            })
            .collect();
        let used = Rc::new(std::cell::RefCell::new(Vec::new()));
        let host = DocHost {
            blocks: Rc::new(blocks),
            order: [package.to_owned(), project.root().name.clone()],
            used: used.clone(),
            base: project.base.clone(),
        };
        let parsed = template(text, &"description".into(), Spot { line: 1, column: 1 });
        let rendered = parsed.and_then(|parsed| Interpreter::new(Rc::new(host)).render(&parsed, &[]));
        named.append(&mut used.borrow_mut());
        rendered.map_err(|mut error| {
            (error.spot, error.file) = (None, None);
            Problem::from_jinja(error, |_| None)
        })
    }
}

impl Doc {
    /// As in the manifest.
    pub fn to_json(&self) -> Json {
        json!({
            "name": self.name, "resource_type": "doc", "package_name": self.package, "path": self.path,
            "original_file_path": self.original_path, "unique_id": self.unique_id, "block_contents": &*self.contents,
        })
    }
}

/// A block's text is a template itself, in which no name means anything.
fn rendered(source: &str, text: &Arc<crate::place::Text>, spot: Spot) -> Result<String> {
    if !source.contains("{{") && !source.contains("{%") && !source.contains("{#") {
        return Ok(source.to_owned());
    }
    struct NoNames;
    impl Host for NoNames {
        fn global(&self, _: &Interpreter, _: &str) -> Option<Value> {
            None
        }
    }
    let parsed = template(source, &text.file, spot);
    let rendered = parsed.and_then(|parsed| Interpreter::new(Rc::new(NoNames)).render(&parsed, &[]));
    Ok(rendered.map_err(|error| Problem::from_jinja(error, |_| Some(text.clone())))?)
}

type Blocks = IndexMap<(String, String), (String, Arc<str>)>;

struct DocHost {
    blocks: Rc<Blocks>,
    order: [String; 2],
    used: Rc<std::cell::RefCell<Vec<String>>>,
    base: Arc<base::Base>,
}

impl Host for DocHost {
    fn global(&self, _: &Interpreter, name: &str) -> Option<Value> {
        if name != "doc" {
            return base::global(&self.base, name);
        }
        let (blocks, order, used) = (self.blocks.clone(), self.order.clone(), self.used.clone());
        Some(base::function(move |_, args| {
            let [first, second] = args.bind("doc", ["package", "name"])?;
            let text = |value: Option<Value>| value.unwrap_or(Value::None).to_string();
            let found = match second {
                Some(name) => blocks.get(&(text(first), name.to_string())),
                None => {
                    let name = text(first);
                    let own = order.iter().find_map(|package| blocks.get(&(package.clone(), name.clone())));
                    own.or_else(|| {
                        blocks.iter().find(|((_, known), _)| *known == name).map(|(_, block)| block)
                    })
                }
            };
            match found {
                Some((id, contents)) => {
                    used.borrow_mut().push(id.clone());
                    Ok(Value::from(&**contents))
                }
                None => fail("no docs block has this name"),
            }
        }))
    }
}
