//! The verbs of dbt and their flags, named as dbt names them.

use std::path::PathBuf;

use millstream_models::engine::batches;

use clap::{builder::BoolishValueParser, ArgAction, Args, Subcommand, ValueEnum};

use super::DepsFlags;

/// What is done with a dbt project.
#[derive(Debug, Subcommand)]
pub enum DbtVerb {
    /// Read a dbt project and write its manifest
    Parse(DbtFlags),
    /// List the nodes of a dbt project
    #[command(alias = "list")]
    Ls(LsFlags),
    /// Compile the models of a dbt project; builds nothing
    Compile(CompileFlags),
    /// Build the models of a dbt project
    Run(DbtFlags),
    /// Test what a dbt project has built
    Test(DbtFlags),
    /// Load the seeds of a dbt project
    Seed(DbtFlags),
    /// Bring the snapshots of a dbt project up to date
    Snapshot(DbtFlags),
    /// Build and test a dbt project: seeds, models, snapshots and tests in one order
    Build(DbtFlags),
    /// Do again what failed or was skipped in the previous run of a dbt project
    Retry(DbtFlags),
    /// Make views on what another run of a dbt project has built
    Clone(DbtFlags),
    /// Print the first rows of a dbt project's model or query; builds nothing
    Show(ShowFlags),
    /// Call a macro of a dbt project
    RunOperation(OperationFlags),
    /// Look at the sources of a dbt project
    Source {
        /// What to look at.
        #[command(subcommand)]
        verb: SourceVerb,
    },
    /// Fetch the packages that a dbt project asks for
    Deps(DepsFlags),
    /// Describe a dbt project
    Docs {
        /// What to do.
        #[command(subcommand)]
        verb: DocsVerb,
    },
    /// Tell where the columns of a dbt project come from and what is made of them
    Lineage(LineageFlags),
    /// Look at a dbt project's profile, configuration and connection: all that is wrong at once
    Debug(DebugFlags),
    /// Remove what a dbt project's clean-targets name: what was written
    Clean(DbtFlags),
}

/// What is done with a dbt project under dbt's own name: all of it, and what is called like a verb of this program's own.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, and it is not moved about")]
pub enum DbtCommand {
    /// What is done with a project.
    #[command(flatten)]
    Verb(DbtVerb),
    /// Make a dbt project to start from, and a profile for it
    Init(InitFlags),
}

/// Flags of `dbt init`.
#[derive(Debug, Clone, Args)]
pub struct InitFlags {
    /// What it is called, and its directory; within a project nothing but the profile is made
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Make no profile
    #[arg(short, long)]
    pub skip_profile_setup: bool,
    /// Where the project's directory is made [default: here]
    #[arg(long, value_name = "DIR", env = "DBT_PROJECT_DIR")]
    pub project_dir: Option<PathBuf>,
    /// Where profiles.yml is [default: here if it is here, then ~/.dbt]
    #[arg(long, value_name = "DIR", env = "DBT_PROFILES_DIR")]
    pub profiles_dir: Option<PathBuf>,
    /// A profile that is there already, for the new project
    #[arg(long, value_name = "NAME", env = "DBT_PROFILE")]
    pub profile: Option<String>,
    /// Variables, as a mapping in YAML
    #[arg(long, value_name = "YAML")]
    pub vars: Option<String>,
    /// Those for dbt's own output, caches and logs.
    #[command(flatten)]
    pub ignored: IgnoredFlags,
}

/// Flags of `debug`.
#[derive(Debug, Clone, Args)]
pub struct DebugFlags {
    /// Those of all verbs.
    #[command(flatten)]
    pub common: DbtFlags,
    /// Test the connection alone
    #[arg(long)]
    pub connection: bool,
    /// Only print how to open the directory of profiles.yml
    #[arg(long)]
    pub config_dir: bool,
}

/// What is done with a project's description.
#[derive(Debug, Subcommand)]
pub enum DocsVerb {
    /// Write the catalogue of what is there, and a page that shows it with the project
    Generate(GenerateFlags),
    /// Show that page on this machine
    Serve(ServeFlags),
}

/// Flags of `lineage`.
#[derive(Debug, Clone, Args)]
pub struct LineageFlags {
    /// Those of all verbs.
    #[command(flatten)]
    pub common: DbtFlags,
    /// A column, as NODE.COLUMN or SOURCE.TABLE.COLUMN; or a node: each of its columns
    #[arg(value_name = "COLUMN")]
    pub of: String,
    /// Only where it comes from
    #[arg(long)]
    pub upstream: bool,
    /// Only what is made of it
    #[arg(long, conflicts_with = "upstream")]
    pub downstream: bool,
}

/// Flags of `docs generate`.
#[derive(Debug, Clone, Args)]
pub struct GenerateFlags {
    /// Those of all verbs.
    #[command(flatten)]
    pub common: DbtFlags,
    /// Compile nothing: the page has no compiled SQL
    #[arg(long)]
    pub no_compile: bool,
    /// What is done without being asked for.
    #[arg(long, hide = true, overrides_with = "no_compile")]
    pub compile: bool,
    /// Ask nothing of the warehouse: the catalogue is empty
    #[arg(long)]
    pub empty_catalog: bool,
    /// Write the page with all that it shows into one file, static_index.html, too
    #[arg(long)]
    pub r#static: bool,
}

/// Flags of `docs serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeFlags {
    /// Those of all verbs.
    #[command(flatten)]
    pub common: DbtFlags,
    /// Where to listen: an address of this machine's own
    #[arg(long, value_name = "ADDRESS", env = "DBT_HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// On which port; 0: any free one
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// No browser is opened in any case.
    #[arg(long, hide = true)]
    pub no_browser: bool,
}

/// What is looked at in sources.
#[derive(Debug, Subcommand)]
pub enum SourceVerb {
    /// Tell how old the newest row of each table is
    #[command(alias = "snapshot-freshness")]
    Freshness(FreshnessFlags),
}

/// Flags of `source freshness`.
#[derive(Debug, Clone, Args)]
pub struct FreshnessFlags {
    /// Those of all verbs.
    #[command(flatten)]
    pub common: DbtFlags,
    /// Where the answers are written [default: sources.json in the target directory]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Flags of all verbs of dbt.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "dbt's flags")]
pub struct DbtFlags {
    /// Where dbt_project.yml is [default: here]
    #[arg(long, value_name = "DIR", env = "DBT_PROJECT_DIR")]
    pub project_dir: Option<PathBuf>,
    /// Where profiles.yml is [default: the project's directory, then ~/.dbt]
    #[arg(long, value_name = "DIR", env = "DBT_PROFILES_DIR")]
    pub profiles_dir: Option<PathBuf>,
    /// A profile other than the project's
    #[arg(long, value_name = "NAME", env = "DBT_PROFILE")]
    pub profile: Option<String>,
    /// A target other than the profile's
    #[arg(short, long, value_name = "NAME", env = "DBT_TARGET")]
    pub target: Option<String>,
    /// Variables, as a mapping in YAML
    #[arg(long, value_name = "YAML")]
    pub vars: Option<String>,
    /// How many nodes are built at a time [default: the target's]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Where what is written goes [default: the project's target-path]
    #[arg(long, value_name = "DIR", env = "DBT_TARGET_PATH")]
    pub target_path: Option<String>,
    /// Build incremental models and seeds anew
    #[arg(short, long, env = "DBT_FULL_REFRESH", value_parser = BoolishValueParser::new())]
    pub full_refresh: bool,
    /// Begin nothing more once something has failed
    #[arg(short = 'x', long, env = "DBT_FAIL_FAST", value_parser = BoolishValueParser::new())]
    pub fail_fast: bool,
    /// Read no rows: models are built empty
    #[arg(long, env = "DBT_EMPTY", value_parser = BoolishValueParser::new())]
    pub empty: bool,
    /// From when on batches of microbatch models are built
    #[arg(long, value_name = "TIME", env = "DBT_EVENT_TIME_START", requires = "event_time_end", value_parser = time)]
    pub event_time_start: Option<i64>,
    /// Up to when
    #[arg(long, value_name = "TIME", env = "DBT_EVENT_TIME_END", requires = "event_time_start", value_parser = time)]
    pub event_time_end: Option<i64>,
    /// Of what has an event_time, read rows of this time only: `3 days`, or `{start: 2026-01-01, end: 2026-02-01}`
    #[arg(long, value_name = "SPAN", env = "DBT_SAMPLE")]
    pub sample: Option<String>,
    /// What is compiled asks nothing of the warehouse
    #[arg(long, overrides_with = "introspect")]
    pub no_introspect: bool,
    /// The opposite of --no-introspect.
    #[arg(long, hide = true, overrides_with = "no_introspect", env = "DBT_INTROSPECT", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub introspect: Option<bool>,
    /// Print the first rows of each seed that is loaded
    #[arg(long)]
    pub show: bool,
    /// Keep the rows that tests find
    #[arg(long, env = "DBT_STORE_FAILURES", value_parser = BoolishValueParser::new())]
    pub store_failures: bool,
    /// Make all warnings errors
    #[arg(long, env = "DBT_WARN_ERROR", value_parser = BoolishValueParser::new())]
    pub warn_error: bool,
    /// Make some warnings errors, and tell some not, as a mapping in YAML
    #[arg(long, value_name = "YAML", env = "DBT_WARN_ERROR_OPTIONS", conflicts_with = "warn_error")]
    pub warn_error_options: Option<String>,
    /// Which nodes [default: all]
    #[arg(short, long, visible_alias = "models", short_alias = 'm', value_name = "SELECTION", num_args = 1..)]
    pub select: Vec<String>,
    /// Which nodes not
    #[arg(long, value_name = "SELECTION", num_args = 1..)]
    pub exclude: Vec<String>,
    /// A selector of selectors.yml
    #[arg(long, value_name = "NAME", conflicts_with_all = ["select", "exclude"])]
    pub selector: Option<String>,
    /// Which tests go with what is selected [default: the project's, then eager]
    #[arg(long, value_name = "MODE", env = "DBT_INDIRECT_SELECTION")]
    pub indirect_selection: Option<String>,
    /// Only nodes of these types
    #[arg(
        long = "resource-type",
        visible_alias = "resource-types",
        value_name = "TYPE",
        num_args = 1..,
        value_delimiter = ' ',
        env = "DBT_RESOURCE_TYPES"
    )]
    pub resource_types: Vec<String>,
    /// And not these
    #[arg(
        long = "exclude-resource-type",
        visible_alias = "exclude-resource-types",
        value_name = "TYPE",
        num_args = 1..,
        value_delimiter = ' ',
        env = "DBT_EXCLUDE_RESOURCE_TYPES"
    )]
    pub excluded_types: Vec<String>,
    /// The opposite of --fail-fast.
    #[arg(long, hide = true, overrides_with = "fail_fast")]
    pub no_fail_fast: bool,
    /// The opposite of --empty.
    #[arg(long, hide = true, overrides_with = "empty")]
    pub no_empty: bool,
    /// Those for dbt's own output, caches and logs.
    #[command(flatten)]
    pub ignored: IgnoredFlags,
    /// Those about an earlier run.
    #[command(flatten)]
    pub state: StateFlags,
}

/// Flags for dbt's own output, caches and logs. Scripts that call dbt have them; they change nothing of what is built, and have no effect.
#[derive(Debug, Clone, Default, Args)]
pub struct IgnoredFlags {
    /// Tell programs of each node.
    #[arg(short = 'd', long, hide = true, overrides_with = "no_debug", env = "DBT_DEBUG", value_parser = BoolishValueParser::new())]
    pub debug: bool,
    /// The opposite of --debug.
    #[arg(long, hide = true, overrides_with = "debug")]
    pub no_debug: bool,
    /// What matters less is not told: debug, info, warn, error, none.
    #[arg(long, hide = true, env = "DBT_LOG_LEVEL", ignore_case = true, value_parser = ["debug", "info", "warn", "error", "none"])]
    pub log_level: Option<String>,
    /// Tell each time that something is done as dbt means to give up, not the first alone.
    #[arg(long, hide = true, overrides_with = "no_show_all_deprecations")]
    pub show_all_deprecations: bool,
    /// The opposite of --show-all-deprecations.
    #[arg(long, hide = true, overrides_with = "show_all_deprecations")]
    pub no_show_all_deprecations: bool,
    /// Those without a value.
    #[arg(
        long = "partial-parse",
        hide = true,
        action = ArgAction::Count,
        aliases = [
            "no-partial-parse", "cache-selected-only", "clean-project-files-only", "no-cache-selected-only", "inject-ephemeral-ctes",
            "log-cache-events", "no-log-cache-events", "macro-debugging", "no-macro-debugging",
            "partial-parse-file-diff", "no-partial-parse-file-diff", "populate-cache", "no-populate-cache",
            "send-anonymous-usage-stats", "no-send-anonymous-usage-stats",
            "single-threaded", "no-single-threaded", "static-parser", "no-static-parser",
            "no-upload-to-artifacts-ingest-api", "use-colors", "use-colors-file", "no-use-colors-file",
            "use-experimental-parser", "no-use-experimental-parser", "use-fast-test-edges", "no-use-fast-test-edges",
            "version-check", "no-version-check",
        ]
    )]
    pub bare: u8,
    /// Those with a value.
    #[arg(
        long = "log-path",
        hide = true,
        action = ArgAction::Append,
        aliases = [
            "log-format-file", "log-level-file", "log-file-max-bytes", "partial-parse-file-path", "printer-width",
        ]
    )]
    pub valued: Vec<String>,
    /// Tell nothing of what templates print.
    #[arg(long, hide = true, overrides_with = "print")]
    pub no_print: bool,
    /// The opposite of --no-print.
    #[arg(long, hide = true, overrides_with = "no_print", env = "DBT_PRINT", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub print: Option<bool>,
    /// Write no manifest and no results.
    #[arg(long, hide = true, overrides_with = "write_json")]
    pub no_write_json: bool,
    /// The opposite of --no-write-json.
    #[arg(long, hide = true, overrides_with = "no_write_json", env = "DBT_WRITE_JSON", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub write_json: Option<bool>,
    /// The program's own --no-color, as dbt has it.
    #[arg(long, hide = true)]
    pub no_use_colors: bool,
}

impl IgnoredFlags {
    /// Whether what templates print is told to nobody.
    pub fn prints_nothing(&self) -> bool {
        self.no_print || self.print == Some(false)
    }

    /// Whether manifest and results are written, where it is said.
    pub fn writes_json(&self) -> Option<bool> {
        if self.no_write_json {
            return Some(false);
        }
        self.write_json
    }
}

/// Flags that dbt takes before its verb as well as behind it.
#[derive(Debug, Clone, Default, Args)]
pub struct BeforeFlags {
    /// Those for dbt's own output, caches and logs.
    #[command(flatten)]
    pub ignored: IgnoredFlags,
    /// A profile other than the project's.
    #[arg(long, hide = true)]
    pub profile: Option<String>,
    /// A target other than the profile's.
    #[arg(short, long, hide = true)]
    pub target: Option<String>,
    /// Begin nothing more once something has failed.
    #[arg(short = 'x', long, hide = true)]
    pub fail_fast: bool,
    /// Which tests go with what is selected.
    #[arg(long, hide = true)]
    pub indirect_selection: Option<String>,
    /// Make all warnings errors.
    #[arg(long, hide = true)]
    pub warn_error: bool,
    /// Make some warnings errors, and tell some not.
    #[arg(long, hide = true, conflicts_with = "warn_error")]
    pub warn_error_options: Option<String>,
    /// Where an earlier run has left its artifacts.
    #[arg(long, hide = true)]
    pub state: Option<PathBuf>,
    /// Where it has left them, if elsewhere.
    #[arg(long, hide = true)]
    pub defer_state: Option<PathBuf>,
    /// Refer to what isn't there where that run has it.
    #[arg(long, hide = true)]
    pub defer: bool,
    /// And to all that is not selected.
    #[arg(long, hide = true)]
    pub favor_state: bool,
}

impl DbtFlags {
    /// Adds what was said before the verb.
    fn add(&mut self, before: BeforeFlags) {
        let BeforeFlags { ignored, profile, target, indirect_selection, warn_error_options, .. } = before;
        let texts = [
            (&mut self.profile, profile),
            (&mut self.target, target),
            (&mut self.indirect_selection, indirect_selection),
            (&mut self.warn_error_options, warn_error_options),
        ];
        for (flag, said) in texts {
            *flag = said.or(flag.take());
        }
        self.state.state = before.state.or(self.state.state.take());
        self.state.defer_state = before.defer_state.or(self.state.defer_state.take());
        self.fail_fast |= before.fail_fast;
        self.warn_error |= before.warn_error;
        self.state.defer |= before.defer;
        self.state.favor_state |= before.favor_state;
        // What is said behind the verb counts more.
        self.ignored.no_print |= ignored.no_print && self.ignored.print != Some(true);
        self.ignored.debug = (self.ignored.debug || ignored.debug) && !self.ignored.no_debug;
        self.ignored.show_all_deprecations |=
            ignored.show_all_deprecations && !self.ignored.no_show_all_deprecations;
        self.ignored.log_level = ignored.log_level.or(self.ignored.log_level.take());
        self.ignored.no_write_json |= ignored.no_write_json && self.ignored.write_json != Some(true);
    }

    /// Adds what was said before the verb, and takes back what was turned off behind the environment that turned it on.
    pub(super) fn settle(&mut self, before: BeforeFlags) {
        self.add(before);
        let StateFlags { defer, no_defer, favor_state, no_favor_state, .. } = &mut self.state;
        for (on, off) in [
            (defer, *no_defer),
            (favor_state, *no_favor_state),
            (&mut self.fail_fast, self.no_fail_fast),
            (&mut self.empty, self.no_empty),
        ] {
            *on &= !off;
        }
    }
}

impl DbtVerb {
    /// dbt's name of it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            DbtVerb::Parse(_) => "parse",
            DbtVerb::Ls(_) => "list",
            DbtVerb::Compile(_) => "compile",
            DbtVerb::Run(_) => "run",
            DbtVerb::Test(_) => "test",
            DbtVerb::Seed(_) => "seed",
            DbtVerb::Snapshot(_) => "snapshot",
            DbtVerb::Build(_) => "build",
            DbtVerb::Retry(_) => "retry",
            DbtVerb::Clone(_) => "clone",
            DbtVerb::Show(_) => "show",
            DbtVerb::RunOperation(_) => "run-operation",
            DbtVerb::Source { .. } => "source freshness",
            DbtVerb::Deps(_) => "deps",
            DbtVerb::Docs { verb: DocsVerb::Generate(_) } => "docs generate",
            DbtVerb::Docs { .. } => "docs serve",
            DbtVerb::Lineage(_) => "lineage",
            DbtVerb::Debug(_) => "debug",
            DbtVerb::Clean(_) => "clean",
        }
    }

    /// The flags that all verbs have.
    pub(crate) fn flags_mut(&mut self) -> &mut DbtFlags {
        match self {
            DbtVerb::Parse(flags)
            | DbtVerb::Run(flags)
            | DbtVerb::Test(flags)
            | DbtVerb::Seed(flags)
            | DbtVerb::Snapshot(flags)
            | DbtVerb::Build(flags)
            | DbtVerb::Retry(flags)
            | DbtVerb::Clone(flags)
            | DbtVerb::Clean(flags) => flags,
            DbtVerb::Debug(flags) => &mut flags.common,
            DbtVerb::Ls(flags) => &mut flags.common,
            DbtVerb::Compile(flags) => &mut flags.common,
            DbtVerb::Show(flags) => &mut flags.common,
            DbtVerb::RunOperation(flags) => &mut flags.common,
            DbtVerb::Source { verb: SourceVerb::Freshness(flags) } => &mut flags.common,
            DbtVerb::Deps(flags) => &mut flags.common,
            DbtVerb::Lineage(flags) => &mut flags.common,
            DbtVerb::Docs { verb: DocsVerb::Generate(flags) } => &mut flags.common,
            DbtVerb::Docs { verb: DocsVerb::Serve(flags) } => &mut flags.common,
        }
    }
}

/// Reads a date, or a date and a time, to microseconds since 1970, UTC.
fn time(text: &str) -> Result<i64, String> {
    batches::moment(text)
        .ok_or_else(|| "it is a date, as 2026-01-31, or a date and a time, as 2026-01-31T12:00:00".into())
}

/// Flags about an earlier run, with which this one is compared or to which it defers.
#[derive(Debug, Clone, Default, Args)]
pub struct StateFlags {
    /// Where an earlier run has left its artifacts, to compare with or defer to
    #[arg(long, value_name = "DIR", env = "DBT_STATE")]
    pub state: Option<PathBuf>,
    /// Refer to what isn't there where that run has it
    #[arg(long, env = "DBT_DEFER", value_parser = BoolishValueParser::new())]
    pub defer: bool,
    /// The opposite of --defer.
    #[arg(long, hide = true, overrides_with = "defer")]
    pub no_defer: bool,
    /// Where that run has left its artifacts, if elsewhere than --state
    #[arg(long, value_name = "DIR", env = "DBT_DEFER_STATE")]
    pub defer_state: Option<PathBuf>,
    /// With --defer: refer so to all that is not selected, even if it is there
    #[arg(long, env = "DBT_FAVOR_STATE", value_parser = BoolishValueParser::new())]
    pub favor_state: bool,
    /// The opposite of --favor-state.
    #[arg(long, hide = true, overrides_with = "favor_state")]
    pub no_favor_state: bool,
}

/// Flags of `ls`.
#[derive(Debug, Clone, Args)]
pub struct LsFlags {
    /// Those of all verbs.
    #[command(flatten)]
    pub common: DbtFlags,
    /// How nodes are listed
    #[arg(long, value_enum, default_value_t)]
    pub output: LsOutput,
    /// Which keys are printed with --output json
    #[arg(long, value_name = "KEY", num_args = 1.., value_delimiter = ' ')]
    pub output_keys: Vec<String>,
}

/// Flags of `compile`.
#[derive(Debug, Clone, Args)]
pub struct CompileFlags {
    /// Those of all verbs.
    #[command(flatten)]
    pub common: DbtFlags,
    /// A query, in place of --select: its SQL is printed
    #[arg(long, value_name = "SQL", conflicts_with_all = ["select", "exclude", "selector"])]
    pub inline: Option<String>,
}

/// Flags of `show`.
#[derive(Debug, Clone, Args)]
pub struct ShowFlags {
    /// Those of all verbs.
    #[command(flatten)]
    pub common: DbtFlags,
    /// A query, in place of --select
    #[arg(long, value_name = "SQL", conflicts_with_all = ["select", "exclude", "selector"])]
    pub inline: Option<String>,
    /// How many rows; -1: all
    #[arg(long, value_name = "N", default_value_t = 5, allow_negative_numbers = true)]
    pub limit: i64,
    /// How they are printed
    #[arg(long, value_enum, default_value_t)]
    pub output: ShowOutput,
}

/// How `show` prints rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ShowOutput {
    /// As a table
    #[default]
    Text,
    /// As JSON
    Json,
}

/// Flags of `run-operation`.
#[derive(Debug, Clone, Args)]
pub struct OperationFlags {
    /// Those of all verbs.
    #[command(flatten)]
    pub common: DbtFlags,
    /// The macro, or package.macro
    #[arg(value_name = "MACRO")]
    pub name: String,
    /// Its arguments, as a mapping in YAML
    #[arg(long, value_name = "YAML")]
    pub args: Option<String>,
}

/// How `ls` lists nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LsOutput {
    /// Package, directories and name
    #[default]
    Selector,
    /// The name alone
    Name,
    /// The file
    Path,
    /// One JSON object a line
    Json,
}

/// Flags of dbt that are not done, without `--` and the `no-` that turns them off.
const FLAGS_TO_COME: &[&str] = &[
    "browser",
    "export-saved-queries",
    "include-saved-query",
    "inject-ephemeral-ctes",
    "inline-direct",
    "record-timing-info",
    "show-resource-report",
    "upload-to-artifacts-ingest-api",
];

/// Flags that can be turned on and not off.
const FLAGS_ON: &[&str] = &["clean-project-files-only", "quiet"];

/// Whether dbt has this flag, with its dashes, and this program does not yet.
pub(super) fn is_flag_to_come(flag: &str) -> bool {
    let Some(name) = flag.strip_prefix("--") else { return false };
    let on = name.strip_prefix("no-");
    FLAGS_TO_COME.contains(&on.unwrap_or(name)) || on.is_some_and(|name| FLAGS_ON.contains(&name))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::args::Arguments;

    #[test]
    fn what_is_to_come_is_not_there() {
        let command = Arguments::command();
        let dbt = command.find_subcommand("dbt").unwrap();
        // What other verbs have beyond the flags of all, `build` has not.
        for verb in dbt.get_subcommands().filter(|verb| verb.get_name() == "build") {
            for flag in verb.get_arguments().filter_map(|argument| argument.get_long()) {
                assert!(!is_flag_to_come(&format!("--{flag}")), "{flag}");
            }
        }
        assert!(is_flag_to_come("--no-browser") && is_flag_to_come("--no-quiet"));
        assert!(!is_flag_to_come("--nonsense") && !is_flag_to_come("--fail-fast"));
    }

    #[test]
    fn what_is_turned_off_last_is_off_and_what_concerns_dbt_alone_is_taken() {
        let parsed = |arguments: &[&str]| {
            let all = [&["millstream", "dbt"], arguments].concat();
            let mut arguments = Arguments::try_parse_from(all).unwrap();
            match &mut arguments.verb {
                crate::args::Verb::Dbt { verb: DbtCommand::Verb(verb), .. } => {
                    verb.flags_mut().settle(BeforeFlags::default());
                    verb.flags_mut().clone()
                }
                _ => panic!("not dbt"),
            }
        };
        let flags =
            parsed(&["build", "--fail-fast", "--no-fail-fast", "--no-defer", "--defer", "--no-empty"]);
        assert!(!flags.fail_fast && flags.state.defer && !flags.empty);
        let flags = parsed(&[
            "-d",
            "--log-path",
            "logs",
            "run",
            "--no-partial-parse",
            "--log-level-file",
            "debug",
            "-s",
            "a",
        ]);
        assert_eq!(flags.select, ["a"]);
        assert!(Arguments::try_parse_from(["millstream", "dbt", "run", "--inline-direct"]).is_err());
    }
}
