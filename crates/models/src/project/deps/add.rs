//! `deps --add-package`: an entry more in the file of packages, in the place of what there is of the same package. Everything else in the file stays as it is written.

use std::{ops::Range, path::PathBuf, sync::Arc};

use serde_json::Value as Json;

use super::{super::options::Options, files, KINDS};
use crate::{
    error::{Problem, ProblemKind, Result},
    place::Text,
    yaml::{self, Node},
};

/// A package to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// `package`, `git` or `local`.
    pub kind: &'static str,
    /// Its name at the hub, its repository or its folder.
    pub name: String,
    /// A version or several bounds with commas between them, a revision.
    pub version: Option<String>,
}

/// What became of the file.
#[derive(Debug)]
pub struct Added {
    /// The file.
    pub path: PathBuf,
    /// Entries of the same package that are gone, by what they said of where it is.
    pub removed: Vec<String>,
    before: Option<String>,
}

impl Added {
    /// Makes the file what it was.
    ///
    /// Errors: it can't be written.
    pub fn undo(&self) -> Result<()> {
        match &self.before {
            Some(text) => files::write(&self.path, text),
            None => std::fs::remove_file(&self.path)
                .map_err(|source| crate::ModelsError::Unwritable { path: self.path.clone(), source }),
        }
    }
}

impl Addition {
    /// Reads `NAME` or `NAME@VERSION` from a source that is called `hub`, `git` or `local`.
    pub fn parse(written: &str, source: &str) -> Self {
        let kind = match source {
            "git" => "git",
            "local" => "local",
            _ => "package",
        };
        // What stands before the host of a repository is no version.
        let parts = written.rsplit_once('@').filter(|(_, version)| !version.contains(['/', ':']));
        let (name, version) = parts.map_or((written, None), |(name, version)| (name, Some(version)));
        Addition { kind, name: name.to_owned(), version: version.map(str::to_owned) }
    }

    /// Writes it into `packages.yml`, or `dependencies.yml` where packages stand there.
    ///
    /// Errors: the file can't be read or written, or is written in a way that nothing can be added to.
    pub fn write(&self, options: &Options) -> Result<Added> {
        let names = ["packages.yml", "dependencies.yml"].map(|name| options.project_dir.join(name));
        let [packages, dependencies] = names;
        let path = if !packages.exists() && dependencies.exists() { dependencies } else { packages };
        if !path.exists() {
            files::write(&path, &format!("packages:\n{}", self.entry(2)))?;
            return Ok(Added { path, removed: Vec::new(), before: None });
        }
        let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = files::read(&path, &shown)?;
        let (after, removed) = self.added(&text)?;
        files::write(&path, &after)?;
        Ok(Added { path, removed, before: Some(text.text.clone()) })
    }

    /// The text with it.
    fn added(&self, text: &Arc<Text>) -> Result<(String, Vec<String>)> {
        let root = yaml::parse(text)?;
        let mut lines: Vec<&str> = text.text.lines().collect();
        let Some((key, list)) = root.entries().iter().find(|(key, _)| key.text == "packages") else {
            let end = if text.text.is_empty() || text.text.ends_with('\n') { "" } else { "\n" };
            return Ok((format!("{}{end}packages:\n{}", text.text, self.entry(2)), Vec::new()));
        };
        let items = list.items();
        let Some(first) = items.first() else {
            lines[key.place.line - 1] = "packages:";
            let entry = self.entry(2);
            lines.insert(key.place.line, entry.trim_end());
            return Ok((joined(&lines), Vec::new()));
        };
        let is_below = |item: &Node| lines[item.place.line - 1].trim_start().starts_with('-');
        if !items.iter().all(is_below) {
            let problem =
                Problem::new(ProblemKind::Configuration, "nothing can be added to a list in brackets");
            let hint = "write each package on a line of its own that begins with a dash";
            return Err(problem.at(&list.place).hint(hint).into());
        }
        let indent = |line: &str| line.len() - line.trim_start().len();
        let own = indent(lines[first.place.line - 1]);
        let ranges: Vec<Range<usize>> = items
            .iter()
            .map(|item| {
                let begin = item.place.line - 1;
                let of_it = |line: &&&str| !line.trim().is_empty() && indent(line) > own;
                begin..begin + 1 + lines[begin + 1..].iter().take_while(of_it).count()
            })
            .collect();
        let entry = self.entry(own);
        let end = ranges.last().map_or(lines.len(), |last| last.end);
        let mut removed = Vec::new();
        let mut kept: Vec<&str> = Vec::new();
        for (at, line) in lines.iter().enumerate().chain([(lines.len(), &"")]) {
            if at == end {
                kept.push(entry.trim_end());
            }
            let of = ranges.iter().position(|range| range.contains(&at));
            match of.and_then(|of| self.is_same(&items[of]).map(|said| (of, said))) {
                Some((of, said)) if ranges[of].start == at => removed.push(said),
                Some(_) => {}
                None if at < lines.len() => kept.push(line),
                None => {}
            }
        }
        Ok((joined(&kept), removed))
    }

    /// What an entry says of where its package is, if that is this one: its name stands in it, with dashes or underscores, as a part between slashes and dots.
    fn is_same(&self, item: &Node) -> Option<String> {
        let said = KINDS.iter().chain(&["private"]).find_map(|kind| item.get(kind)?.as_str())?;
        let short = self.name.rsplit('/').next().unwrap_or_default();
        let plain = |name: &str| name.replace('_', "-");
        let (there, is_edge) = (plain(said), |c: Option<char>| c.is_none_or(|c| c == '/' || c == '.'));
        let names = [plain(&self.name), plain(short)];
        let mut found = names.iter().filter(|name| !name.is_empty()).filter_map(|name| {
            let at = there.find(name.as_str())?;
            Some((there[..at].chars().next_back(), there[at + name.len()..].chars().next()))
        });
        found.any(|(before, after)| is_edge(before) && is_edge(after)).then(|| said.to_owned())
    }

    /// Its lines.
    fn entry(&self, indent: usize) -> String {
        let space = " ".repeat(indent);
        let quoted = |text: &str| Json::from(text).to_string();
        let mut entry = format!("{space}- {}: {}\n", self.kind, quoted(&self.name));
        if let Some(version) = &self.version {
            let key = if self.kind == "git" { "revision" } else { "version" };
            let bounds: Vec<String> = version.split(',').map(quoted).collect();
            let version = match bounds.as_slice() {
                [one] => one.clone(),
                several => format!("[{}]", several.join(", ")),
            };
            entry.push_str(&format!("{space}  {key}: {version}\n"));
        }
        entry
    }
}

fn joined(lines: &[&str]) -> String {
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(
        before: &str,
        written: &str,
        source: &str,
    ) -> std::result::Result<(String, Vec<String>), String> {
        let text = Arc::new(Text { file: "packages.yml".into(), text: before.to_owned() });
        Addition::parse(written, source).added(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_entry_comes_last_and_the_rest_stays_as_it_is_written() {
        let before = "# ours\npackages:\n  - local: ../flour  # near\n\n  # the mill\n  - git: https://example.com/mill.git\n    revision: v1\n\nother: 1\n";
        let (after, removed) = added(before, "acme/sieve@1.0", "hub").unwrap();
        let entry = "  - package: \"acme/sieve\"\n    version: \"1.0\"\n";
        assert_eq!((after, removed), (before.replace("\n\nother", &format!("\n{entry}\nother")), vec![]));
        let (after, removed) = added(before, "acme/mill@>=1.0.0,<2.0.0", "hub").unwrap();
        assert_eq!(removed, ["https://example.com/mill.git"]);
        assert!(after.ends_with("  # the mill\n  - package: \"acme/mill\"\n    version: [\">=1.0.0\", \"<2.0.0\"]\n\nother: 1\n"), "{after}");
        for (none, expected) in [
            ("", "packages:\n  - local: \"../a\"\n"),
            ("# nothing\npackages: []\n", "# nothing\npackages:\n  - local: \"../a\"\n"),
            ("packages:\n", "packages:\n  - local: \"../a\"\n"),
            ("packages:\n- local: b", "packages:\n- local: b\n- local: \"../a\"\n"),
        ] {
            assert_eq!(added(none, "../a", "local").unwrap().0, expected);
        }
        let told = added("packages: [{local: b}]\n", "../a", "local").unwrap_err();
        assert!(told.contains("a list in brackets"), "{told}");
    }

    #[test]
    fn a_package_is_the_same_under_its_name_with_dashes_or_underscores() {
        let is_same = |there: &str, name: &str| {
            !added(&format!("packages:\n  - {there}\n"), name, "hub").unwrap().1.is_empty()
        };
        assert!(is_same("package: dbt-labs/dbt_utils", "dbt-labs/dbt_utils"));
        assert!(is_same("git: https://example.com/dbt-labs/dbt-utils.git", "dbt-labs/dbt_utils"));
        assert!(is_same("local: ../dbt_utils", "dbt-labs/dbt-utils"));
        assert!(!is_same("package: dbt-labs/dbt_utils_more", "dbt-labs/dbt_utils"));
        assert!(!is_same("package: dbt-labs/codegen", "dbt-labs/dbt_utils"));
        let parsed = Addition::parse("git@example.com:acme/mill.git@v1", "git");
        assert_eq!(
            (parsed.name.as_str(), parsed.version.as_deref()),
            ("git@example.com:acme/mill.git", Some("v1"))
        );
        assert_eq!(Addition::parse("git@example.com:acme/mill.git", "git").version, None);
    }
}
