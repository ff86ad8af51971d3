//! `deps`: packages are fetched. Repositories come through the `git` program, with whatever a person has set up for it.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use millstream_models::{
    project::deps::{self, Fetch, Fetched, LOCK},
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
    let done = deps::deps(&options, &incoming, flags.upgrade, flags.lock)?;
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

impl Fetch for Incoming {
    fn git(&self, url: &str, revision: Option<&str>, shown: &str) -> Result<Fetched, ModelsError> {
        let revision = revision.unwrap_or("HEAD");
        if url.starts_with('-') || revision.starts_with('-') {
            let message = format!("`{shown}` at `{revision}`: neither can begin with a dash");
            return Err(Problem::new(ProblemKind::Configuration, message).into());
        }
        let dir = self.dir.join(self.count.get().to_string());
        self.count.set(self.count.get() + 1);
        fs::create_dir_all(&dir).map_err(|source| ModelsError::Unwritable { path: dir.clone(), source })?;
        self.git(&dir, &["init", "--quiet"], shown)?;
        self.git(&dir, &["fetch", "--quiet", "--depth", "1", url, revision], shown)?;
        self.git(&dir, &["checkout", "--quiet", "--detach", "FETCH_HEAD"], shown)?;
        let commit = self.git(&dir, &["rev-parse", "HEAD"], shown)?;
        Ok(Fetched { dir, commit })
    }
}
