//! Reading files, and finding those of a project's directories.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    error::{ModelsError, Result},
    place::Text,
};

/// Directories within directories: more means a link that leads back.
const DEPTH_MAX: usize = 64;

/// Reads a text; line ends are made `\n`, as Python reads them. `name` is how it is told to a person.
pub fn read(path: &Path, name: &str) -> Result<Arc<Text>> {
    let text = fs::read_to_string(path)
        .map_err(|source| ModelsError::Unreadable { path: path.to_owned(), source })?;
    let text = if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text };
    Ok(Arc::new(Text { file: name.into(), text }))
}

/// Writes a text, and the directories above it.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let unwritable = |source| ModelsError::Unwritable { path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(unwritable)?;
    }
    fs::write(path, text).map_err(unwritable)
}

/// Copies a directory with what is in it, in the place of what is there. One that isn't there is none.
///
/// Errors: something can't be read or written; more directories lie within each other than there can be without a link that leads back.
pub fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    let unwritable = |path: &Path, source| ModelsError::Unwritable { path: path.to_owned(), source };
    if !from.is_dir() {
        return Ok(());
    }
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(to, error)),
        _ => copy_within(from, to, 0),
    }
}

fn copy_within(from: &Path, to: &Path, depth: usize) -> Result<()> {
    let unreadable = |source| ModelsError::Unreadable { path: from.to_owned(), source };
    let unwritable = |source| ModelsError::Unwritable { path: to.to_owned(), source };
    if depth > DEPTH_MAX {
        return Err(unreadable(io::Error::other(format!("more than {DEPTH_MAX} directories deep"))));
    }
    fs::create_dir_all(to).map_err(unwritable)?;
    for entry in fs::read_dir(from).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_within(&path, &target, depth + 1)?;
        } else {
            fs::copy(&path, &target).map_err(unwritable)?;
        }
    }
    Ok(())
}

/// A file found below one of a package's directories.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Relative to the directory that it was found below, with `/`.
    pub relative: String,
    /// The directory, relative to the package's root.
    pub dir: String,
    /// Where it is.
    pub path: PathBuf,
}

impl Found {
    /// Relative to the package's root, with `/`.
    pub fn from_root(&self) -> String {
        format!("{}/{}", self.dir, self.relative)
    }
}

/// The files of one of these endings below the directories, by path. A directory that isn't there has none.
pub fn find(root: &Path, dirs: &[String], endings: &[&str]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for dir in dirs {
        let dir = dir.trim_end_matches('/');
        walk(&root.join(dir), dir, "", endings, 0, &mut found)?;
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn walk(
    path: &Path,
    dir: &str,
    prefix: &str,
    endings: &[&str],
    depth: usize,
    found: &mut Vec<Found>,
) -> Result<()> {
    let unreadable = |source| ModelsError::Unreadable { path: path.to_owned(), source };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(error)),
    };
    if depth > DEPTH_MAX {
        return Err(unreadable(io::Error::other(format!("more than {DEPTH_MAX} directories deep"))));
    }
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(unreadable)?;
        let is_dir = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
        let relative = format!("{prefix}{name}");
        if is_dir {
            walk(&entry.path(), dir, &format!("{relative}/"), endings, depth + 1, found)?;
        } else if endings.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending)) {
            found.push(Found { relative, dir: dir.to_owned(), path: entry.path() });
        }
    }
    Ok(())
}
