//! What the program itself remembers beside the data: the API keys, the secret that masks are made with, and what became of models. One SQLite file, written by the
//! process that owns the project.
//!
//! # What the file may give away
//!
//! Nothing that lets anybody in. Of a key there is its SHA-256 and what SCRAM needs of it to check a proof; neither tells the key. A slow hash such as Argon2
//! would only make every request slow: it helps against guessing, and a key has 256 random bits. The masks' secret has to be there as it is; whoever reads the
//! file reads the warehouse beside it as well.

mod error;
mod keys;
mod models;
mod scram;

use std::{
    collections::HashMap,
    fs::{self, OpenOptions, Permissions},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::{atomic::AtomicU64, Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::Connection;

pub use error::StoreError;
pub use keys::{CreatedKey, Key, NewKey};
pub use models::{ModelNode, ModelOutcome, ModelRun, OUTCOMES_KEPT};
pub use scram::{Verifier, ITERATIONS as SCRAM_ITERATIONS};

/// Version of the file's tables. A file with a later one is refused.
const FORMAT_VERSION: i64 = 3;

/// Only the account that runs the program.
const MODE: u32 = 0o600;

/// Bytes of every secret: nobody guesses 256 bits.
const SECRET_BYTES: usize = 32;

const TABLES: &str = "
    CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE api_keys (
        id TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        name TEXT,
        hash BLOB NOT NULL,
        scram_salt BLOB NOT NULL,
        scram_stored_key BLOB NOT NULL,
        scram_server_key BLOB NOT NULL,
        created_micros INTEGER NOT NULL,
        expires_micros INTEGER,
        revoked_micros INTEGER
    ) STRICT;
";

/// The open file. What every request asks is answered from memory.
pub struct Store {
    connection: Mutex<Connection>,
    keys: RwLock<HashMap<String, Arc<Key>>>,
    random: SystemRandom,
    /// How often models were told of since the file was opened.
    models_told: AtomicU64,
}

impl Store {
    /// Opens or makes the file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source: rusqlite::Error| StoreError::Open { path: path.to_owned(), source };
        let unwritable = |source| StoreError::Unwritable { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(unwritable)?;
        }
        // Before anything is in it.
        OpenOptions::new().create(true).append(true).mode(MODE).open(path).map_err(unwritable)?;
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(unwritable)?;
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        let version: i64 =
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        match version {
            0 => {
                let transaction = connection.transaction().map_err(failed)?;
                transaction.execute_batch(TABLES).map_err(failed)?;
                transaction.execute_batch(models::TABLES).map_err(failed)?;
                transaction.pragma_update(None, "user_version", FORMAT_VERSION).map_err(failed)?;
                transaction.commit().map_err(failed)?;
            }
            1 => {
                let transaction = connection.transaction().map_err(failed)?;
                transaction.execute_batch(models::TABLES).map_err(failed)?;
                transaction.pragma_update(None, "user_version", FORMAT_VERSION).map_err(failed)?;
                transaction.commit().map_err(failed)?;
            }
            2 => {
                let transaction = connection.transaction().map_err(failed)?;
                transaction.execute_batch(models::FROM_2).map_err(failed)?;
                transaction.pragma_update(None, "user_version", FORMAT_VERSION).map_err(failed)?;
                transaction.commit().map_err(failed)?;
            }
            FORMAT_VERSION => {}
            found => return Err(StoreError::Format { path: path.to_owned(), found, known: FORMAT_VERSION }),
        }
        let keys = keys::read(&connection)?;
        Ok(Store {
            connection: Mutex::new(connection),
            keys: RwLock::new(keys),
            random: SystemRandom::new(),
            models_told: AtomicU64::new(0),
        })
    }

    /// A secret of the project that never changes, in hexadecimal: made when it is first asked for.
    pub fn secret(&self, name: &str) -> Result<String, StoreError> {
        let connection = self.connection();
        let made = hexadecimal(&self.random_bytes::<SECRET_BYTES>()?);
        connection.execute("INSERT OR IGNORE INTO secrets (name, value) VALUES (?1, ?2)", [name, &made])?;
        Ok(connection.query_row("SELECT value FROM secrets WHERE name = ?1", [name], |row| row.get(0))?)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn random_bytes<const N: usize>(&self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes).map_err(|_| StoreError::NoRandom)?;
        Ok(bytes)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_and_only_its_owner_reads_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/store.sqlite");
        let first = Store::open(&path).unwrap().secret("mask").unwrap();
        let store = Store::open(&path).unwrap();
        assert_eq!(store.secret("mask").unwrap(), first);
        assert_ne!(store.secret("other").unwrap(), first);
        assert_eq!(first.len(), 2 * SECRET_BYTES);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_file_of_a_later_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        drop(Store::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 4).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Format { found: 4, .. })));
        fs::write(&path, b"no database at all, but text").unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Open { .. })));
    }
}
