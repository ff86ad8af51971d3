//! `millstream init`: the files of a new project.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    config::FILE_NAME,
    error::ProgramError,
    failure::Outcome,
    output::{Format, Output, Style},
};

const CONFIG: &str = include_str!("init/millstream.yml");
const ENV_EXAMPLE: &str = include_str!("init/env.example");
const GITIGNORE_LINES: [&str; 2] = ["data/", ".env"];

/// Writes `millstream.yml`, `.env.example` and the lines of `.gitignore`; overwrites nothing.
pub(super) fn run(dir: Option<&Path>, output: &Output) -> Outcome {
    let dir = dir.unwrap_or(Path::new("."));
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| ProgramError::Unwritable { path, source }
    };
    fs::create_dir_all(dir).map_err(unwritable(dir))?;
    let whole = dir.canonicalize().map_err(unwritable(dir))?;
    let name = project_name(whole.file_name().and_then(|name| name.to_str()).unwrap_or_default());

    let config = dir.join(FILE_NAME);
    match write_new(&config, &CONFIG.replace("{name}", &name)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ProgramError::ProjectExists(config).into());
        }
        Err(source) => return Err(ProgramError::Unwritable { path: config, source }.into()),
    }
    let mut written = vec![config];
    let example = dir.join(".env.example");
    match write_new(&example, ENV_EXAMPLE) {
        Ok(()) => written.push(example),
        // A directory that was something else before keeps what it has.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(ProgramError::Unwritable { path: example, source }.into()),
    }
    let gitignore = dir.join(".gitignore");
    if add_lines(&gitignore).map_err(unwritable(&gitignore))? {
        written.push(gitignore);
    }

    match output.format {
        Format::Json => output.json(&json!({ "name": name, "written": written }))?,
        Format::Table | Format::Csv => {
            for path in &written {
                output.line(&format!("wrote {}", path.display()))?;
            }
        }
    }
    output.note(&next_steps(dir, output));
    Ok(0)
}

fn next_steps(dir: &Path, output: &Output) -> String {
    let enter = if dir == Path::new(".") { String::new() } else { format!("cd {} && ", dir.display()) };
    let command = |text: &str| output.paint(Style::Bold, text);
    format!(
        "\nNext:\n  {}   and put the connection string into .env\n  {}   is the source ready?\n  {}        everything",
        command(&format!("{enter}cp .env.example .env")),
        command("millstream doctor"),
        command("millstream up"),
    )
}

fn write_new(path: &PathBuf, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

/// Adds the lines that `.gitignore` lacks. Returns whether there were any.
fn add_lines(path: &Path) -> io::Result<bool> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let missing: Vec<&str> = GITIGNORE_LINES
        .into_iter()
        .filter(|wanted| !text.lines().any(|line| line.trim() == *wanted))
        .collect();
    if missing.is_empty() {
        return Ok(false);
    }
    let separator = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(format!("{separator}{}\n", missing.join("\n")).as_bytes())?;
    Ok(true)
}

/// A directory's name as the name of a project, which becomes part of a slot's: lowercase letters, digits, underscores.
fn project_name(directory: &str) -> String {
    let name: String =
        directory.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    // `millstream_` and the name must fit the 63 bytes of an identifier.
    let name: String = name.trim_matches('_').chars().take(40).collect();
    if name.is_empty() {
        "project".into()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Project, Variables};

    #[test]
    fn what_init_writes_is_a_valid_project() {
        let text = CONFIG.replace("{name}", &project_name("My Shop-2"));
        let variables = Variables::from_pairs([("DATABASE_URL", "postgres://localhost/shop")]);
        let project = Project::parse(Path::new("/p"), &text, &variables).unwrap();
        assert_eq!(project.name, "my_shop_2");
        assert_eq!(project.source.slot, "millstream_my_shop_2");
    }
}
