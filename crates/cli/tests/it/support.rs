//! Running the binary and keeping what it said.

use std::{
    path::Path,
    process::{Command, Output},
};

/// The binary, in a directory, with nothing of this process's environment that it reads.
pub(crate) fn millstream(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command.current_dir(dir).env_remove("NO_COLOR").env_remove("DATABASE_URL");
    command
}

/// All that it said, with the directory's name out of it.
pub(crate) fn transcript(dir: &Path, output: &Output) -> String {
    let text = |bytes: &[u8]| {
        let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        String::from_utf8_lossy(bytes)
            .replace(&*whole.to_string_lossy(), "DIR")
            .replace(&*dir.to_string_lossy(), "DIR")
    };
    let mut said =
        format!("exit {}\n", output.status.code().map_or("by signal".into(), |code| code.to_string()));
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            said.push_str(&format!("--- {name}\n{}", text(bytes)));
        }
    }
    said
}
