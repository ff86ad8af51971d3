//! The flags of `deps`.

use clap::{Args, ValueEnum};

use super::DbtFlags;

/// Flags of `deps`.
#[derive(Debug, Clone, Args)]
pub struct DepsFlags {
    /// Those of all verbs.
    #[command(flatten)]
    pub common: DbtFlags,
    /// Only write package-lock.yml
    #[arg(long)]
    pub lock: bool,
    /// Look for newer ones than package-lock.yml has
    #[arg(long)]
    pub upgrade: bool,
    /// Ask for a package more: it is written into packages.yml
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub add_package: Option<String>,
    /// Where that package is
    #[arg(long, value_enum, default_value_t, requires = "add_package")]
    pub source: PackageSource,
}

/// Where a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PackageSource {
    /// At the hub, by its owner and name
    #[default]
    Hub,
    /// In a repository, by its address
    Git,
    /// In a folder
    Local,
}

impl PackageSource {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            PackageSource::Hub => "hub",
            PackageSource::Git => "git",
            PackageSource::Local => "local",
        }
    }
}
