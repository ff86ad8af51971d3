//! Sessions of browsers: what a cookie holds in place of a key, so that no page and no disk holds the key itself.
//!
//! `<key's id>.<end, in seconds since 1970>.<HMAC-SHA-256 of both>`. Nothing is kept of it here: the key behind it is looked up each time, so that a session
//! ends with its key.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;

/// How long a session lasts, in seconds: a working day.
pub const SESSION_SECONDS: u64 = 12 * 3600;

/// Makes sessions and knows its own.
pub(super) struct Seal(hmac::Key);

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Seal {
    pub(super) fn new(secret: &str) -> Self {
        Seal(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    pub(super) fn close(&self, id: &str) -> String {
        self.close_at(id, now())
    }

    fn close_at(&self, id: &str, now: u64) -> String {
        let said = format!("{id}.{}", now + SESSION_SECONDS);
        let tag: String =
            hmac::sign(&self.0, said.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{said}.{tag}")
    }

    /// What stands in place of the salt of a user that there is not: the same each time.
    pub(super) fn salt(&self, user: &str) -> [u8; 16] {
        let tag = hmac::sign(&self.0, format!("salt of {user}").as_bytes());
        let mut salt = [0; 16];
        salt.copy_from_slice(&tag.as_ref()[..16]);
        salt
    }

    /// The id of the key, if the session is one of ours and has not ended.
    pub(super) fn open(&self, text: &str) -> Option<String> {
        let (said, tag) = text.rsplit_once('.')?;
        let (id, end) = said.split_once('.')?;
        let hex = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let tag: Vec<u8> = tag.as_bytes().chunks(2).map(hex).collect::<Option<_>>()?;
        hmac::verify(&self.0, said.as_bytes(), &tag).ok()?;
        (now() < end.parse().ok()?).then(|| id.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_until_it_ends_and_cannot_be_made_up() {
        let seal = Seal::new("secret");
        let session = seal.close("a1");
        assert_eq!(seal.open(&session).as_deref(), Some("a1"));
        assert_eq!(Seal::new("another").open(&session), None);
        assert_eq!(seal.open(&seal.close_at("a1", now() - SESSION_SECONDS)), None);
        let (said, tag) = session.rsplit_once('.').unwrap();
        let later = format!("a1.{}.{tag}", now() + 2 * SESSION_SECONDS);
        for wrong in [
            session.replacen("a1", "b2", 1),
            later,
            said.to_owned(),
            format!("{said}."),
            format!("{said}.zz"),
            String::new(),
            "é.é.é".to_owned(),
        ] {
            assert_eq!(seal.open(&wrong), None, "{wrong}");
        }
    }
}
