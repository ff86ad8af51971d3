//! `deps`: packages are fetched. Repositories come through the program `git`, what the hub and others have through `curl` and `tar`, with whatever a person has set up for them.

use std::{
    cell::Cell,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use millstream_models::{
    project::deps::{self, Addition, Fetch, Fetched, LOCK},
    ModelsError, Problem, ProblemKind,
};

use super::{options, Call};
use crate::{args::DepsFlags, failure::Outcome};

pub(super) fn run(call: &Call<'_>, flags: &DepsFlags) -> Outcome {
    let mut options = options(call.global, call.flags, call.which)?;
    options.settle()?;
    let console = call.console();
    let incoming = Incoming {
        dir: std::env::temp_dir().join(format!("millstream-deps-{}", options.invocation_id)),
        count: Cell::new(0),
        asks: !call.global.no_input,
    };
    let added = match &flags.add_package {
        Some(written) => Some(Addition::parse(written, flags.source.name()).write(&options)?),
        None => None,
    };
    let done = deps::deps(&options, &incoming, flags.upgrade, flags.lock);
    if let Some(added) = &added {
        if done.is_err() {
            added.undo()?;
        } else {
            for said in &added.removed {
                console.say(&format!("In its place is no longer: {said}"));
            }
            let written = flags.add_package.as_deref().unwrap_or_default();
            console.say(&format!("Added new package {written} to {}", added.path.display()));
        }
    }
    let done = done?;
    for warning in &done.warnings {
        call.warn(&options, warning)?;
    }
    if done.locked {
        console
            .say(&format!("Updating lock file in file path: {}", options.project_dir.join(LOCK).display()));
    }
    for (name, from) in &done.installed {
        console.say(&format!("Installing {name}"));
        console.say(&format!("Installed from {from}"));
    }
    if !done.locked && done.installed.is_empty() && !flags.lock {
        console.say("No packages were found in packages.yml");
    }
    Ok(0)
}

/// Where repositories are got to before they are put in place. Removed with all that is left in it.
struct Incoming {
    dir: PathBuf,
    count: Cell<usize>,
    /// Whether git may ask for a password.
    asks: bool,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // What is left of it is in the system's directory for such things.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Incoming {
    fn git(&self, dir: &Path, arguments: &[&str], shown: &str) -> Result<String, ModelsError> {
        let wrong = |message: String| ModelsError::from(Problem::new(ProblemKind::Configuration, message));
        let mut command = Command::new("git");
        command.arg("-C").arg(dir).args(arguments).stdin(Stdio::null()).env("LC_ALL", "C");
        if !self.asks {
            command.env("GIT_TERMINAL_PROMPT", "0");
        }
        let output = command.output().map_err(|error| {
            let problem =
                Problem::new(ProblemKind::Configuration, format!("can't run git to get `{shown}`: {error}"));
            ModelsError::from(problem.hint("install git, or give the package as a folder with `local:`"))
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        // The address that git was given may hold a secret: what it said is told without it.
        let address = arguments.iter().find(|argument| argument.contains("://")).copied().unwrap_or_default();
        let said = if address.is_empty() { said.into_owned() } else { said.replace(address, shown) };
        Err(wrong(format!("git can't get `{shown}`: {}", said.trim())))
    }
}

/// How long an answer may take, in seconds, from a hub or an archive's host.
const ANSWER_SECONDS_MAX: &str = "120";

/// A hub's answer is held in memory, an archive is not: what is larger is none.
const ANSWER_BYTES_MAX: &str = "104857600";

impl Incoming {
    /// A directory of its own for what is got next.
    fn next(&self) -> Result<PathBuf, ModelsError> {
        let dir = self.dir.join(self.count.get().to_string());
        self.count.set(self.count.get() + 1);
        fs::create_dir_all(&dir).map_err(|source| ModelsError::Unwritable { path: dir.clone(), source })?;
        Ok(dir)
    }

    /// Runs a program that gets or unpacks something. The address goes to it as it is, and a person is told `shown`.
    fn program(
        &self,
        name: &str,
        arguments: &[&OsStr],
        url: &str,
        shown: &str,
    ) -> Result<Vec<u8>, ModelsError> {
        let wrong = |message: String| Problem::new(ProblemKind::Configuration, message);
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::null()).env("LC_ALL", "C");
        let output = command.output().map_err(|error| {
            wrong(format!("can't run {name} to get `{shown}`: {error}")).hint(format!("install {name}"))
        })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(wrong(format!("{name} can't get `{shown}`: {}", said.replace(url, shown).trim())).into())
    }

    fn curl(&self, url: &str, to: Option<&Path>, shown: &str) -> Result<Vec<u8>, ModelsError> {
        let is_web = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
        if !is_web {
            let message = format!("`{shown}` is no address of the web: it begins with http:// or https://");
            return Err(Problem::new(ProblemKind::Configuration, message).into());
        }
        let fixed = [
            "--fail",
            "--silent",
            "--show-error",
            "--location",
            "--proto",
            "=http,https",
            "--retry",
            "2",
            "--max-time",
            ANSWER_SECONDS_MAX,
            "--max-filesize",
            ANSWER_BYTES_MAX,
        ];
        let mut arguments: Vec<&OsStr> = fixed.iter().map(OsStr::new).collect();
        if let Some(to) = to {
            arguments.extend([OsStr::new("--output"), to.as_os_str()]);
        }
        arguments.extend([OsStr::new("--"), OsStr::new(url)]);
        self.program("curl", &arguments, url, shown)
    }
}

impl Fetch for Incoming {
    fn text(&self, url: &str) -> Result<String, ModelsError> {
        let told = self.curl(url, None, url)?;
        String::from_utf8(told).map_err(|_| {
            Problem::new(ProblemKind::Configuration, format!("what `{url}` gives is no text")).into()
        })
    }

    fn archive(&self, url: &str, shown: &str) -> Result<PathBuf, ModelsError> {
        let dir = self.next()?;
        let (file, within) = (dir.join("archive"), dir.join("within"));
        fs::create_dir(&within).map_err(|source| ModelsError::Unwritable { path: within.clone(), source })?;
        self.curl(url, Some(&file), shown)?;
        let options = ["--extract", "--no-same-owner", "--no-same-permissions", "--directory"];
        let mut arguments: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        arguments.extend([within.as_os_str(), OsStr::new("--file"), file.as_os_str()]);
        self.program("tar", &arguments, url, shown)?;
        let unreadable = |source| ModelsError::Unreadable { path: within.clone(), source };
        let entries =
            fs::read_dir(&within).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        match entries.as_slice() {
            [one] if one.file_type().is_ok_and(|kind| kind.is_dir()) => Ok(one.path()),
            _ => {
                let message = format!("the archive `{shown}` does not hold one directory");
                let problem = Problem::new(ProblemKind::Configuration, message);
                Err(problem.hint("a package is in an archive as a directory with a dbt_project.yml").into())
            }
        }
    }

    fn git(&self, url: &str, revision: Option<&str>, shown: &str) -> Result<Fetched, ModelsError> {
        let revision = revision.unwrap_or("HEAD");
        if url.starts_with('-') || revision.starts_with('-') {
            let message = format!("`{shown}` at `{revision}`: neither can begin with a dash");
            return Err(Problem::new(ProblemKind::Configuration, message).into());
        }
        let dir = self.next()?;
        self.git(&dir, &["init", "--quiet"], shown)?;
        self.git(&dir, &["fetch", "--quiet", "--depth", "1", url, revision], shown)?;
        self.git(&dir, &["checkout", "--quiet", "--detach", "FETCH_HEAD"], shown)?;
        let commit = self.git(&dir, &["rev-parse", "HEAD"], shown)?;
        Ok(Fetched { dir, commit })
    }
}
