//! `docs generate` and `docs serve`: the catalogue of what is there, and a page of our own that shows it with the project.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use millstream_api::http::serve_files;
use millstream_models::{
    artifacts, columns,
    engine::catalog::{self, Catalog},
    project::files,
    ModelsError, Problem, ProblemKind,
};
use tokio::sync::Notify;

use super::{seconds, select, write_manifest, Call};
use crate::{
    args::{GenerateFlags, ServeFlags},
    error::ProgramError,
    failure::{Failure, Outcome},
    signals::Signals,
};

/// The page. It loads `manifest.json`, `catalog.json` and `lineage.json` beside it, or has them within it.
const PAGE: &str = include_str!("docs/page.html");

/// Where the page has what it shows, where it is one file.
const INLINE: [(&str, &str); 3] = [
    ("manifest.json", r#"<script type="application/json" id="manifest"></script>"#),
    ("catalog.json", r#"<script type="application/json" id="catalog"></script>"#),
    ("lineage.json", r#"<script type="application/json" id="lineage"></script>"#),
];

pub(super) fn generate(call: &Call<'_>, flags: &GenerateFlags) -> Outcome {
    let began = seconds();
    let manifest = call.project()?;
    let project = &manifest.world.project;
    let console = call.console();
    let mut compiled = HashMap::new();
    if flags.no_compile {
        write_manifest(&manifest, &compiled)?;
    } else {
        let (code, outcomes) = super::outcomes(call, &manifest, None, began)?;
        compiled = super::compiled(&outcomes);
        if code != 0 {
            console.failed(
                "Nothing can be documented",
                "some nodes can't be compiled; --no-compile leaves their SQL out",
            );
            return Ok(code);
        }
    }
    let described = if flags.empty_catalog {
        Catalog::default()
    } else {
        console.say("Building catalog");
        let ids = select(&manifest, call.flags, catalog::is_described, call.output)?;
        let warehouse = call.warehouse(project)?;
        catalog::catalog(&manifest, &*warehouse, &ids)?
    };
    let target = project.target_dir();
    let columns = columns::project::columns(&manifest, &compiled, &described);
    artifacts::write(&target, "lineage.json", &artifacts::lineage(&manifest, &columns, seconds()))?;
    artifacts::write(&target, "catalog.json", &artifacts::catalog(&manifest, described, seconds()))?;
    files::write(&target.join("index.html"), PAGE)?;
    for assets in &project.root().paths.assets {
        files::copy_dir(&project.options.project_dir.join(assets), &target.join(assets))?;
    }
    if flags.r#static {
        files::write(&target.join("static_index.html"), &in_one(&target)?)?;
    }
    console.say(&format!("Catalog written to {}", target.join("catalog.json").display()));
    Ok(0)
}

/// The page with what it shows.
fn in_one(target: &Path) -> Result<String, Failure> {
    let mut page = PAGE.to_owned();
    for (name, place) in INLINE {
        let text = files::read(&target.join(name), name)?;
        // A text within it must not end the element.
        let json = text.text.replace("</", "<\\/");
        page = page.replacen(place, &place.replace("></", &format!(">{json}</")), 1);
    }
    Ok(page)
}

pub(super) fn serve(call: &Call<'_>, flags: &ServeFlags) -> Outcome {
    let manifest = call.project()?;
    let target = manifest.world.project.target_dir();
    if !target.join("catalog.json").exists() {
        let problem = Problem::new(
            ProblemKind::Configuration,
            format!("there is no catalog.json in {}", target.display()),
        );
        return Err(ModelsError::from(problem.hint("write it first: `millstream dbt docs generate`")).into());
    }
    let signals = Signals::watch().map_err(ProgramError::Signals)?;
    let stop = Arc::new(Notify::new());
    let stopped = stop.clone();
    signals.cancellation().on_cancel(Box::new(move || stop.notify_one()));
    let address = format!("{}:{}", flags.host, flags.port);
    let lookup = move |path: &str| lookup(&target, path);
    let console = call.console();
    serve_files(
        &address,
        Box::new(lookup),
        |address| console.say(&format!("The docs are at http://{address}/ until Ctrl-C")),
        async move { stopped.notified().await },
    )?;
    Ok(signals.exit().unwrap_or(0))
}

/// A file of the target directory, by the path of a request; the page where nothing more is asked for.
fn lookup(target: &Path, path: &str) -> Option<(Vec<u8>, &'static str)> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if matches!(path, "" | "index.html") {
        return Some((PAGE.as_bytes().to_vec(), "text/html; charset=utf-8"));
    }
    let path = PathBuf::from(path);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let file = target.join(&path).canonicalize().ok()?;
    // A link may lead out of the directory.
    if !file.starts_with(target.canonicalize().ok()?) {
        return None;
    }
    let kind = match path.extension().and_then(|ending| ending.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("svg") => "image/svg+xml",
        Some("sql" | "txt" | "md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    Some((std::fs::read(file).ok()?, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_directory_are_given() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::fs::create_dir_all(&target).unwrap();
        std::fs::write(dir.path().join("profiles.yml"), "secret").unwrap();
        std::fs::write(target.join("manifest.json"), "{}").unwrap();
        std::os::unix::fs::symlink(dir.path().join("profiles.yml"), target.join("link")).unwrap();
        assert_eq!(lookup(&target, "manifest.json"), Some((b"{}".to_vec(), "application/json")));
        assert_eq!(lookup(&target, "").unwrap().1, "text/html; charset=utf-8");
        for path in ["../profiles.yml", "/etc/hostname", "link", "none.json", "a/../../profiles.yml"] {
            assert_eq!(lookup(&target, path), None, "{path}");
        }
    }

    #[test]
    fn the_page_has_a_place_for_all_that_it_shows() {
        for (_, place) in INLINE {
            assert_eq!(PAGE.matches(place).count(), 1, "{place}");
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("manifest.json"), r#"{"a": "</script>"}"#).unwrap();
        std::fs::write(dir.path().join("catalog.json"), "{}").unwrap();
        std::fs::write(dir.path().join("lineage.json"), "{}").unwrap();
        let page = in_one(dir.path()).unwrap_or_else(|_| panic!("no page"));
        assert!(page.contains(r#"id="manifest">{"a": "<\/script>"}</script>"#));
    }
}
