//! What SCRAM-SHA-256 keeps of a password (RFC 5802, section 3; RFC 7677), and how a client's proof is checked with it.

use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

/// How often a password is hashed. The least that RFC 7677 takes, and PostgreSQL's own number: more would slow down guessing, and 256 random bits are
/// not guessed.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");

/// Bytes of a hash.
pub(crate) const HASH_BYTES: usize = digest::SHA256_OUTPUT_LEN;

/// Bytes of a salt, as PostgreSQL has them.
pub(crate) const SALT_BYTES: usize = 16;

/// What is kept of a password: it can check a proof, and gives none.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// The salt, which the client is told.
    pub salt: [u8; SALT_BYTES],
    pub(crate) stored_key: [u8; HASH_BYTES],
    pub(crate) server_key: [u8; HASH_BYTES],
}

impl Verifier {
    /// Of a password in ASCII, which SASLprep leaves as it is.
    pub fn new(password: &str, salt: [u8; SALT_BYTES]) -> Self {
        let mut salted = [0; HASH_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        Verifier { salt, stored_key: hash(&client_key), server_key: sign(&salted, b"Server Key") }
    }

    /// Of nobody: no proof is taken. For whoever asks as a user that there is not, so that the answer does not tell.
    pub fn of_nobody(salt: [u8; SALT_BYTES]) -> Self {
        Verifier { salt, stored_key: [0; HASH_BYTES], server_key: [0; HASH_BYTES] }
    }

    /// Whether the proof is that of who knows the password, for what was said before it; then the server's signature, which proves to the client that the
    /// server knows it as well.
    pub fn check(&self, said: &[u8], proof: &[u8]) -> Option<[u8; HASH_BYTES]> {
        let proof: &[u8; HASH_BYTES] = proof.try_into().ok()?;
        let mut client_key = sign(&self.stored_key, said);
        client_key.iter_mut().zip(proof).for_each(|(byte, other)| *byte ^= other);
        same(&hash(&client_key), &self.stored_key).then(|| sign(&self.server_key, said))
    }
}

pub(crate) fn hash(bytes: &[u8]) -> [u8; HASH_BYTES] {
    let mut out = [0; HASH_BYTES];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

fn sign(key: &[u8], text: &[u8]) -> [u8; HASH_BYTES] {
    let mut out = [0; HASH_BYTES];
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    out.copy_from_slice(hmac::sign(&key, text).as_ref());
    out
}

/// Whether two hashes are the same, in a time that does not depend on where they differ: the library's own comparison of signatures.
pub(crate) fn same(left: &[u8; HASH_BYTES], right: &[u8; HASH_BYTES]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"compared");
    hmac::verify(&key, left, hmac::sign(&key, right).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client's side, as RFC 5802 has it.
    fn proof(password: &str, salt: &[u8], said: &[u8]) -> Vec<u8> {
        let mut salted = [0; HASH_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let signature = sign(&hash(&client_key), said);
        client_key.iter().zip(signature).map(|(byte, other)| byte ^ other).collect()
    }

    #[test]
    fn a_proof_of_the_same_password_and_conversation_is_taken_and_no_other() {
        let verifier = Verifier::new("pencil", *b"sixteen bytes ..");
        let good = proof("pencil", &verifier.salt, b"said");
        assert!(verifier.check(b"said", &good).is_some());
        assert!(verifier.check(b"said otherwise", &good).is_none());
        assert!(verifier.check(b"said", &proof("pencils", &verifier.salt, b"said")).is_none());
        assert!(verifier.check(b"said", &good[1..]).is_none());
        assert!(verifier.check(b"said", &[]).is_none());
        assert!(Verifier::of_nobody(verifier.salt).check(b"said", &good).is_none());
    }

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_standards_own_example() {
        let decoded: &[u8; 16] =
            &[0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
        let verifier = Verifier::new("pencil", *decoded);
        let said = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
                    r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
                    c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let given = proof("pencil", decoded, said.as_bytes());
        // dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=
        assert_eq!(given[..6], [0x74, 0x7c, 0xdb, 0x65, 0xaa, 0x56]);
        // 6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
        let signature = verifier.check(said.as_bytes(), &given).unwrap();
        assert_eq!(signature[..6], [0xea, 0xba, 0xe2, 0x4d, 0x10, 0x62]);
    }
}
