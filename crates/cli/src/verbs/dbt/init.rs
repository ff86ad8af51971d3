//! `dbt init`: a project to start from, and the profile that says where it is built. What is there is never written over.

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use millstream_models::{
    place::Text,
    project::{examine, package::is_name, profile, Options},
    yaml, ModelsError, Problem, ProblemKind,
};

use super::{console::Console, options, template, Call};
use crate::{
    args::InitFlags,
    error::ProgramError,
    failure::{Failure, Outcome},
};

/// The files of a new project.
const FILES: &[(&str, &str)] = &[
    ("dbt_project.yml", include_str!("starter/dbt_project.yml")),
    ("README.md", include_str!("starter/README.md")),
    (".gitignore", include_str!("starter/gitignore")),
    ("seeds/visits.csv", include_str!("starter/visits.csv")),
    ("models/staging/stg_visits.sql", include_str!("starter/stg_visits.sql")),
    ("models/marts/pages.sql", include_str!("starter/pages.sql")),
    ("models/models.yml", include_str!("starter/models.yml")),
    ("tests/no_visit_takes_a_day.sql", include_str!("starter/no_visit_takes_a_day.sql")),
];

/// Names that packages of dbt's own have.
const TAKEN: &[&str] = &["dbt", "dbt_duckdb", "dbt_postgres"];

pub(super) fn run(call: &Call<'_>, flags: &InitFlags) -> Outcome {
    let options = options(call.global, call.flags, call.which)?;
    let console = call.console();
    let asks = !call.global.no_input && io::stdin().is_terminal() && io::stderr().is_terminal();
    if options.project_dir.join("dbt_project.yml").is_file() {
        if call.flags.profile.is_some() {
            let message = "--profile is for new projects; this one names its profile in dbt_project.yml";
            return Err(wrong(message).into());
        }
        if flags.skip_profile_setup {
            return Ok(0);
        }
        let Some(name) = examine::profile_named(&options)? else {
            return Err(wrong("dbt_project.yml names no `profile`").into());
        };
        return set_up(&options, &console, &name, [asks, !call.global.no_input]).map(|()| 0);
    }
    let name = match &flags.name {
        Some(name) => name.clone(),
        None if asks => ask("What is the project called? Letters, digits and underscores:", None)?,
        None => {
            let problem = wrong_problem("a new project needs a name");
            return Err(ModelsError::from(problem.hint("millstream dbt init NAME")).into());
        }
    };
    if !is_name(&name) || TAKEN.contains(&name.as_str()) {
        let problem = wrong_problem(&format!("`{name}` can't be the name of a project"));
        let problem = problem.hint("letters, digits and underscores, no digit first, and not dbt's own");
        return Err(ModelsError::from(problem).into());
    }
    let dir = options.project_dir.join(&name);
    if dir.exists() {
        console.say(&format!("{} is there already: nothing is written", dir.display()));
        return Ok(0);
    }
    let given = call.flags.profile.as_deref();
    if let Some(profile) = given {
        if !profile::names(&options)?.iter().any(|known| known == profile) {
            let message = format!(
                "{} has no profile `{profile}`",
                profile::dir(&options).join("profiles.yml").display()
            );
            return Err(wrong(&message).into());
        }
    }
    for (file, text) in FILES {
        let text = text.replace("{name}", &name).replace("{profile}", given.unwrap_or(&name));
        write_new(&dir.join(file), &text)?;
    }
    console.say(&format!("The project `{name}` is in {}", dir.display()));
    if given.is_none() && !flags.skip_profile_setup {
        set_up(&options, &console, &name, [asks, !call.global.no_input])?;
    }
    let next = match profile::dir(&options) == options.project_dir {
        true => format!("millstream dbt build --project-dir {name} --profiles-dir ."),
        false => format!("cd {name} && millstream dbt build"),
    };
    console.say(&format!("Next: {next}"));
    Ok(0)
}

/// Adds a profile to `profiles.yml`, unless it has one of this name. It may be that a person can be asked, and that standard input may be read.
fn set_up(
    options: &Options,
    console: &Console<'_>,
    name: &str,
    [asks, reads]: [bool; 2],
) -> Result<(), Failure> {
    let path = profile::dir(options).join("profiles.yml");
    if profile::names(options)?.iter().any(|known| known == name) {
        console.say(&format!("The profile `{name}` is in {} already, and stays as it is", path.display()));
        return Ok(());
    }
    let template = options.project_dir.join("profile_template.yml");
    let text = match asks && !template.exists() && ask("Build it in DuckDB [1] or in PostgreSQL [2]?", Some("1"))? == "2" {
        true => postgres(name)?,
        // Answers can come from a file, too.
        false if template.exists() => template::profile(&template, name, reads)?,
        false => format!(
            "{name}:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: {name}.duckdb\n      schema: main\n      threads: 4\n"
        ),
    };
    let unwritable = |source| ProgramError::Unwritable { path: path.clone(), source };
    let before = match fs::read_to_string(&path) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(unwritable(error).into()),
    };
    let gap = match before.as_str() {
        "" => "",
        before if before.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let whole = Text { file: path.display().to_string().into(), text: format!("{before}{gap}{text}") };
    let is_read = yaml::parse(&Arc::new(whole)).is_ok_and(|root| root.get(name).is_some());
    if !is_read {
        let message = format!("{} is written in a way that nothing can be added to", path.display());
        return Err(
            ModelsError::from(wrong_problem(&message).hint(format!("add this by hand:\n{text}"))).into()
        );
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(unwritable)?;
    }
    let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).map_err(unwritable)?;
    file.write_all(format!("{gap}{text}").as_bytes()).map_err(unwritable)?;
    console.say(&format!("The profile `{name}` is in {}", path.display()));
    Ok(())
}

/// Asks for what a target in PostgreSQL needs. The password stays out of the file.
fn postgres(name: &str) -> Result<String, Failure> {
    let mut target = String::from("      type: postgres\n");
    for (key, question, default) in [
        ("host", "Host:", "localhost"),
        ("port", "Port:", "5432"),
        ("user", "User:", "postgres"),
        ("dbname", "Database:", "postgres"),
        ("schema", "Schema:", name),
    ] {
        let answer = ask(question, Some(default))?;
        let written = if key == "port" { answer } else { format!("'{}'", answer.replace('\'', "''")) };
        target.push_str(&format!("      {key}: {written}\n"));
    }
    Ok(format!(
        "{name}:\n  target: dev\n  outputs:\n    dev:\n{target}      # Set this variable where you build.\n      password: \"{{{{ env_var('DBT_ENV_SECRET_PASSWORD') }}}}\"\n      threads: 4\n"
    ))
}

/// Asks a person. An empty answer is the default.
fn ask(question: &str, default: Option<&str>) -> Result<String, Failure> {
    let default_shown = default.map(|default| format!(" ({default})")).unwrap_or_default();
    let mut answer = String::new();
    let mut stderr = io::stderr();
    let read = write!(stderr, "{question}{default_shown} ")
        .and_then(|()| stderr.flush())
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    match (read, answer.trim(), default) {
        (Ok(read), "", Some(default)) if read > 0 => Ok(default.to_owned()),
        (Ok(_), answer, _) if !answer.is_empty() => Ok(answer.to_owned()),
        _ => Err(wrong("there was no answer").into()),
    }
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let unwritable = |source| ProgramError::Unwritable { path: PathBuf::from(path), source };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(unwritable)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(unwritable)?;
    file.write_all(text.as_bytes()).map_err(unwritable)?;
    Ok(())
}

pub(super) fn wrong(message: &str) -> ModelsError {
    wrong_problem(message).into()
}

fn wrong_problem(message: &str) -> Problem {
    Problem::new(ProblemKind::Configuration, message)
}
