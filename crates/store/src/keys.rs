//! API keys: `ms_<id>_<secret>`. The prefix is there for whoever looks for secrets where none should be; the id finds the key, the secret proves it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use millstream_core::Timestamp;
use rusqlite::{params, types::Type, Connection, Row};

use crate::{
    hexadecimal,
    scram::{hash, same, Verifier, HASH_BYTES},
    Store, StoreError, SECRET_BYTES,
};

/// What a key begins with.
const PREFIX: &str = "ms_";

/// Bytes of a key's id: enough that no two are ever alike.
const ID_BYTES: usize = 6;

/// A key, as far as it is known.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id: no secret.
    pub id: String,
    /// The role of whoever has it.
    pub role: String,
    /// What a person calls it.
    pub name: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is good for nothing.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    hash: [u8; HASH_BYTES],
    /// Checks a proof that somebody has it.
    pub verifier: Verifier,
}

impl fmt::Debug for Key {
    /// Without what belongs to its secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

impl Key {
    /// Whether it is good at a time.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }
}

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The role of whoever will have it.
    pub role: String,
    /// What a person calls it.
    pub name: Option<String>,
    /// From when on it is good for nothing.
    pub expires: Option<Timestamp>,
}

/// A key that was made.
pub struct CreatedKey {
    /// What is kept of it.
    pub key: Arc<Key>,
    /// All of it, which is told this once.
    pub text: String,
}

/// The time now.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

impl Store {
    /// Makes a key. It is good from here on.
    pub fn create_key(&self, new: &NewKey) -> Result<CreatedKey, StoreError> {
        let id = hexadecimal(&self.random_bytes::<ID_BYTES>()?);
        let text = format!("{PREFIX}{id}_{}", hexadecimal(&self.random_bytes::<SECRET_BYTES>()?));
        let key = Arc::new(Key {
            id: id.clone(),
            role: new.role.clone(),
            name: new.name.clone(),
            created: now(),
            expires: new.expires,
            revoked: None,
            hash: hash(text.as_bytes()),
            verifier: Verifier::new(&text, self.random_bytes()?),
        });
        self.connection().execute(
            "INSERT INTO api_keys (id, role, name, hash, scram_salt, scram_stored_key, scram_server_key, created_micros, expires_micros) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                key.id,
                key.role,
                key.name,
                key.hash,
                key.verifier.salt,
                key.verifier.stored_key,
                key.verifier.server_key,
                key.created.0,
                key.expires.map(|time| time.0),
            ],
        )?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(id, key.clone());
        Ok(CreatedKey { key, text })
    }

    /// All keys, the oldest first.
    pub fn keys(&self) -> Vec<Arc<Key>> {
        let mut keys: Vec<_> =
            self.keys.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        keys
    }

    /// Makes a key good for nothing, for whoever asks from here on. One that was revoked already stays so.
    pub fn revoke_key(&self, id: &str) -> Result<Arc<Key>, StoreError> {
        let id = id.strip_prefix(PREFIX).unwrap_or(id);
        let known = self.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let known = known.ok_or_else(|| StoreError::NoSuchKey { id: id.to_owned() })?;
        let revoked = known.revoked.unwrap_or_else(now);
        self.connection()
            .execute("UPDATE api_keys SET revoked_micros = ?2 WHERE id = ?1", params![id, revoked.0])?;
        let key = Arc::new(Key { revoked: Some(revoked), ..Key::clone(&known) });
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), key.clone());
        Ok(key)
    }

    /// The key that a text is, where there is such a key and it is good now.
    pub fn check_key(&self, text: &str) -> Option<Arc<Key>> {
        let (id, _) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let key = self.good_key(id)?;
        same(&hash(text.as_bytes()), &key.hash).then_some(key)
    }

    /// The key of an id, with or without its prefix, where it is good now.
    pub fn good_key(&self, id: &str) -> Option<Arc<Key>> {
        let id = id.strip_prefix(PREFIX).unwrap_or(id);
        let key = self.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()?;
        key.is_good(now()).then_some(key)
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    let bytes = |index: usize| -> rusqlite::Result<[u8; HASH_BYTES]> { fixed(row, index) };
    let time = |index: usize| row.get::<_, Option<i64>>(index).map(|micros| micros.map(Timestamp));
    Ok(Key {
        id: row.get(0)?,
        role: row.get(1)?,
        name: row.get(2)?,
        hash: bytes(3)?,
        verifier: Verifier { salt: fixed(row, 4)?, stored_key: bytes(5)?, server_key: bytes(6)? },
        created: Timestamp(row.get(7)?),
        expires: time(8)?,
        revoked: time(9)?,
    })
}

fn fixed<const N: usize>(row: &Row<'_>, index: usize) -> rusqlite::Result<[u8; N]> {
    let bytes: Vec<u8> = row.get(index)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| {
        let what = format!("{} bytes where {N} belong", bytes.len());
        rusqlite::Error::FromSqlConversionFailure(index, Type::Blob, what.into())
    })
}

pub(crate) fn read(connection: &Connection) -> Result<HashMap<String, Arc<Key>>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT id, role, name, hash, scram_salt, scram_stored_key, scram_server_key, created_micros, expires_micros, revoked_micros \
         FROM api_keys",
    )?;
    let keys = statement.query_map([], key)?;
    keys.map(|key| key.map(|key| (key.id.clone(), Arc::new(key))).map_err(StoreError::from)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn new(expires: Option<Timestamp>) -> NewKey {
        NewKey { role: "analyst".into(), name: Some("a dashboard".into()), expires }
    }

    #[test]
    fn a_key_is_taken_until_it_is_revoked_and_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let store = Store::open(&path).unwrap();
        let made = store.create_key(&new(None)).unwrap();
        let other = store.create_key(&new(None)).unwrap();
        assert!(made.text.starts_with(&format!("ms_{}_", made.key.id)), "{}", made.text);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.check_key(&made.text).unwrap(), made.key);
        assert_eq!(store.keys().len(), 2);
        // Another secret of a right id, another id of a right secret, and what is no key at all.
        let secret = made.text.rsplit('_').next().unwrap();
        let others = other.text.rsplit('_').next().unwrap();
        for wrong in [
            format!("ms_{}_{others}", made.key.id),
            format!("ms_{}_{secret}", other.key.id),
            format!("ms_{}_{}", made.key.id, &secret[1..]),
            format!("ms_{}_", made.key.id),
            format!("ms_{}", made.key.id),
            format!("{} ", made.text),
            made.text.to_uppercase(),
            secret.to_owned(),
            String::new(),
        ] {
            assert!(store.check_key(&wrong).is_none(), "{wrong}");
        }
        store.revoke_key(&made.key.id).unwrap();
        assert!(store.check_key(&made.text).is_none() && store.check_key(&other.text).is_some());
        assert!(Store::open(&path).unwrap().check_key(&made.text).is_none());
        assert!(matches!(store.revoke_key("nothing"), Err(StoreError::NoSuchKey { .. })));
    }

    #[test]
    fn a_key_is_good_for_nothing_once_it_has_expired() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store.sqlite")).unwrap();
        let past = store.create_key(&new(Some(Timestamp(now().0 - 1)))).unwrap();
        let coming = store.create_key(&new(Some(Timestamp(now().0 + 60_000_000)))).unwrap();
        assert!(store.check_key(&past.text).is_none() && store.good_key(&past.key.id).is_none());
        assert!(store.check_key(&coming.text).is_some());
        assert!(!coming.key.is_good(coming.key.expires.unwrap()));
    }

    #[test]
    fn the_file_and_what_is_printed_for_people_hold_no_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let store = Store::open(&path).unwrap();
        let made = store.create_key(&new(None)).unwrap();
        let secret = made.text.rsplit('_').next().unwrap();
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        assert!(!format!("{:?}", made.key).contains("hash"));
    }
}
