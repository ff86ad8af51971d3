//! The arguments. Global flags stand before or after the verb.

mod dbt;
mod deps;
mod environment;

use std::{io::Write as _, path::PathBuf};

use clap::{
    error::{ContextKind, ContextValue, ErrorKind},
    Args, CommandFactory, FromArgMatches, Parser, Subcommand,
};
use clap_complete::Shell;
use millstream_core::Exit;
use millstream_models::{
    project::package::{ADAPTERS, DBT_VERSION},
    ModelsError, Problem, ProblemKind,
};

pub use dbt::{
    BeforeFlags, CompileFlags, DbtCommand, DbtFlags, DbtVerb, DebugFlags, DocsVerb, FreshnessFlags,
    GenerateFlags, IgnoredFlags, InitFlags, LineageFlags, LsFlags, LsOutput, OperationFlags, ServeFlags,
    ShowFlags, ShowOutput, SourceVerb, StateFlags,
};
pub use deps::{DepsFlags, PackageSource};
pub use environment::{VARIABLES, VARIABLES_TO_COME, VARIABLES_WITHOUT_FLAG};

use crate::{
    config::SchemaOf,
    error::ProgramError,
    failure::Failure,
    output::{Format, LogFormat, Output},
};

/// What the program was asked to do.
#[derive(Debug, Parser)]
#[command(
    name = "millstream",
    version,
    about = "Keeps a PostgreSQL database live in DuckDB, with its whole history",
    disable_help_subcommand = false,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Arguments {
    /// Flags that hold for every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags that hold for every verb.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global flags")]
pub struct Global {
    /// The project's directory [default: here or the nearest parent with a millstream.yml]
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// How data is printed
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Short for --format json
    #[arg(long, global = true, conflicts_with = "format")]
    pub json: bool,
    /// Print no messages but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more of what is going on; twice: much more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// How messages are printed
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        env = "MILLSTREAM_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
    /// Use no colours
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Never ask a question
    #[arg(long, global = true)]
    pub no_input: bool,
}

impl Global {
    /// How everything is printed.
    pub fn output(&self) -> Output {
        let format = if self.json { Format::Json } else { self.format.unwrap_or_default() };
        Output::detect(format, self.log_format, self.no_color, self.quiet)
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, and it is not moved about")]
pub enum Verb {
    /// Make a project
    Init {
        /// Where [default: here]
        dir: Option<PathBuf>,
    },
    /// Everything: capture, apply, models; until Ctrl-C
    Up {
        /// End once the warehouse holds every transaction that is committed now
        #[arg(long)]
        until_caught_up: bool,
    },
    /// Is the source ready? Every check with its remedy
    Doctor {
        /// Print the SQL that mends what failed; runs none
        #[arg(long)]
        fix_sql: bool,
    },
    /// What `up` would create or change at source and warehouse; changes nothing
    Plan,
    /// State, lag, retained WAL, tables, rows, quarantine
    Status,
    /// Query the warehouse
    Sql {
        /// One SELECT
        query: String,
        /// Read every table as it was: a time with zone (2026-11-21T12:00:00Z) or an LSN (0/16B3748)
        #[arg(long, value_name = "T")]
        as_of: Option<String>,
    },
    /// A table's changes as they came, in Debezium's envelope
    Tail {
        /// schema.table as at the source
        table: String,
        /// From the transaction with this commit LSN on [default: the oldest that the log holds]
        #[arg(long, value_name = "POS")]
        from: Option<String>,
        /// At most so many events
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        /// Wait for more
        #[arg(long)]
        follow: bool,
    },
    /// Compare every row, source against warehouse, at one position, while writes go on
    Verify {
        /// schema.table as at the source [default: all]
        tables: Vec<String>,
    },
    /// Read tables again; what differs becomes new versions
    Resync {
        /// schema.table as at the source
        #[arg(required = true)]
        tables: Vec<String>,
    },
    /// Changes that were set aside because they can't be applied
    Quarantine {
        /// What to do with them.
        #[command(subcommand)]
        verb: QuarantineVerb,
    },
    /// API keys: who may ask the servers, by role
    Keys {
        /// What to do with them.
        #[command(subcommand)]
        verb: KeysVerb,
    },
    /// Verbs of dbt, for a dbt project.
    #[command(flatten)]
    Models(DbtVerb),
    /// The same under dbt's own name, to stand in for it
    #[command(version = DBT_VERSION)]
    Dbt {
        /// Those that dbt takes before its verb, too.
        #[command(flatten)]
        before: BeforeFlags,
        /// What to do.
        #[command(subcommand)]
        verb: DbtCommand,
    },
    /// Print a JSON Schema, for editors
    Schema {
        /// Of what
        #[arg(value_enum, default_value_t)]
        of: SchemaOf,
    },
    /// Print a shell's completions
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the version
    Version,
}

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub enum KeysVerb {
    /// Make one; it is printed this once
    Create {
        /// A role of api.roles
        #[arg(long)]
        role: String,
        /// What to call it
        #[arg(long)]
        name: Option<String>,
        /// How long it is good, such as 90d [default: until it is revoked]
        #[arg(long, value_name = "SPAN")]
        expires: Option<String>,
    },
    /// All that were made, without what is secret of them
    List,
    /// Make one good for nothing, at once
    Revoke {
        /// As `list` prints it
        id: String,
    },
}

/// What can be done with the quarantine.
#[derive(Debug, Subcommand)]
pub enum QuarantineVerb {
    /// Each change with its row's key and why it was set aside
    List {
        /// schema.table as at the source [default: all]
        tables: Vec<String>,
    },
    /// One change with all its values
    Show {
        /// schema.table as at the source
        table: String,
        /// As `list` prints it, such as 0/16B3748+3
        position: String,
    },
    /// Apply what can be applied now, in order, at the moments the changes had
    Replay {
        /// schema.table as at the source [default: all]
        tables: Vec<String>,
    },
    /// Give changes up: the tables are read again instead. What is given up never comes into history
    Drop {
        /// schema.table as at the source
        #[arg(required = true)]
        tables: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Parses the process's arguments. What is wrong with them is printed in the form that they ask for; the error is the exit status.
pub fn parse() -> Result<Arguments, u8> {
    let mut command = environment::named(Arguments::command());
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = matches.and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches));
    let parsed = parsed.map_err(|error| error.format(&mut command)).map_err(|error| {
        if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            // Help or version, asked for or not; an error of printing it changes nothing.
            let of_dbt = error.kind() == ErrorKind::DisplayVersion && error.to_string().contains(DBT_VERSION);
            let _ = match of_dbt {
                true => std::io::stdout().write_all(dbt_version().as_bytes()),
                false => error.print(),
            };
            return if error.use_stderr() { Exit::Usage as u8 } else { 0 };
        }
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let (message, detail) = text.split_once("\n\n").unwrap_or((text, ""));
        let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let detail = detail.replace("For more information, try '--help'.", "").trim().to_owned();
        let detail = (!detail.is_empty()).then_some(detail);
        let failure = match dbt_to_come(&error) {
            Some(word) => Failure::from(ModelsError::from(
                Problem::new(ProblemKind::Unsupported, format!("dbt's `{word}` is not supported yet")).hint(
                    "`millstream dbt --help` lists the verbs that are, and each verb's --help its flags",
                ),
            )),
            None => Failure::from(ProgramError::Arguments { message, detail }),
        };
        output_of_raw_arguments().failure(&failure);
        failure.exit
    })?;
    settled(parsed).map_err(|failure| {
        output_of_raw_arguments().failure(&failure);
        failure.exit
    })
}

/// The arguments with what dbt's variables say of output, and dbt's flags that take others back.
fn settled(mut arguments: Arguments) -> Result<Arguments, Failure> {
    if matches!(arguments.verb, Verb::Models(_) | Verb::Dbt { .. }) {
        environment::output(&mut arguments)?;
    }
    let before = match &arguments.verb {
        Verb::Dbt { before, .. } => before.clone(),
        _ => BeforeFlags::default(),
    };
    if let Verb::Models(verb) | Verb::Dbt { verb: DbtCommand::Verb(verb), .. } = &mut arguments.verb {
        let flags = verb.flags_mut();
        arguments.global.no_color |= before.ignored.no_use_colors || flags.ignored.no_use_colors;
        flags.ignored.no_print |= environment::prints_nothing()?;
        flags.settle(before);
    }
    Ok(arguments)
}

/// What `dbt --version` says, in dbt's form: programs that call dbt look for its number.
fn dbt_version() -> String {
    let adapters = ADAPTERS.map(|(name, version)| format!("  - {name}: {version}\n")).concat();
    let own = env!("CARGO_PKG_VERSION");
    format!(
        "Core:\n  - installed: {DBT_VERSION}\n\nPlugins:\n{adapters}\nMillstream {own} does what these do.\n"
    )
}

/// A flag of dbt that is not done, where that is what is wrong.
fn dbt_to_come(error: &clap::Error) -> Option<String> {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let arguments: Vec<String> =
                std::env::args_os().filter_map(|argument| argument.into_string().ok()).collect();
            let verbs = Arguments::command();
            let verbs = verbs.find_subcommand("dbt").map(|dbt| dbt.get_subcommands()).into_iter().flatten();
            let mut names = verbs.flat_map(clap::Command::get_name_and_visible_aliases);
            said(ContextKind::InvalidArg)
                .filter(|flag| dbt::is_flag_to_come(flag))
                .filter(|_| names.any(|name| arguments.iter().any(|argument| argument == name)))
        }
        _ => None,
    }
}

/// How to print where the arguments did not parse.
fn output_of_raw_arguments() -> Output {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let json = arguments.iter().any(|argument| argument == "--json" || argument == "--format=json")
        || arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json");
    let no_color = arguments.iter().any(|argument| argument == "--no-color");
    Output::detect(if json { Format::Json } else { Format::Table }, LogFormat::Text, no_color, false)
}

/// The definition, for completions.
pub fn command() -> clap::Command {
    Arguments::command()
}
