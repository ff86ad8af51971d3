//! The system account that runs the servers.
//!
//! PostgreSQL refuses to run as root, and containers and build machines often give us nothing else. So when we are root,
//! the server's processes are started under the account that Debian's package created, or `nobody` where there is none.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::{Error, Result};

/// Who owns a cluster's files and runs its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether that is somebody else than this process.
    switched: bool,
}

impl Account {
    pub(crate) fn for_servers() -> Result<Self> {
        // SAFETY: both calls only read this process's credentials.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        if uid != 0 {
            return Ok(Self { uid, gid, switched: false });
        }
        let passwd = fs::read_to_string("/etc/passwd").map_err(Error::during("reading /etc/passwd"))?;
        ["postgres", "nobody"].iter().find_map(|name| lookup(&passwd, name)).ok_or_else(|| {
            Error::new(
                "running as root, and there is no account `postgres` or `nobody` to run PostgreSQL under",
            )
        })
    }

    /// Makes the command run under this account; does nothing where that is us already.
    pub(crate) fn apply(&self, command: &mut Command) {
        if self.switched {
            command.uid(self.uid).gid(self.gid);
        }
    }
}

fn lookup(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid, switched: true })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd =
            "postgresql:x:1:2::/:/bin/sh\npostgres:x:101:104:PostgreSQL administrator,,,:/var:/bin/bash\n";
        assert_eq!(lookup(passwd, "postgres"), Some(Account { uid: 101, gid: 104, switched: true }));
        assert_eq!(lookup(passwd, "nobody"), None);
    }
}
