//! Hashes as dbt writes them.

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// MD5 in hexadecimal: names and unique ids of tests.
pub fn md5(text: &str) -> String {
    hex(Md5::digest(text.as_bytes()))
}

/// SHA-256 in hexadecimal: checksums of files.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

/// SHA-1 in hexadecimal: what tells whether a lock is of the packages that are asked for.
pub fn sha1(bytes: &[u8]) -> String {
    hex(Sha1::digest(bytes))
}
