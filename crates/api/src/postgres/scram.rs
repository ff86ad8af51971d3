//! Who a client is: SCRAM-SHA-256 (RFC 5802, RFC 7677), as PostgreSQL speaks it. The user is the id of an API key, the password all of that key.
//!
//! Neither side sends the key: the client proves that it has it, and the server that it knows it.

use base64::{engine::general_purpose::STANDARD as BASE64, Engine};
use millstream_store::{Verifier, SCRAM_ITERATIONS};

use super::error::{Outcome, WireError};

/// The one mechanism that is offered.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";

/// What was said so far.
#[derive(Debug)]
pub(super) struct Exchange {
    /// What the client says of channel binding, to be repeated by it.
    header: String,
    first: String,
    challenge: String,
    nonce: String,
}

fn wrong(what: &str) -> WireError {
    WireError::protocol(format!("malformed SCRAM message: {what}"))
}

impl Exchange {
    /// Of the client's first message and a nonce of the server's.
    pub(super) fn begin(first: &[u8], server_nonce: &str, verifier: &Verifier) -> Outcome<Self> {
        let text = std::str::from_utf8(first).map_err(|_| wrong("it is no text"))?;
        let mut parts = text.splitn(3, ',');
        let (binding, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let bare = parts.next().ok_or_else(|| wrong("it is cut short"))?;
        // `y`: the client could bind to the channel and believes that the server can't, which is so.
        if !matches!(binding, "n" | "y") {
            return Err(wrong("channel binding was not offered"));
        }
        if !name.is_empty() {
            return Err(wrong("nobody acts for somebody else here"));
        }
        // The user is the one of the startup message, as in PostgreSQL. `m=` is an extension that must be understood, and is not.
        let client_nonce = bare
            .strip_prefix("n=")
            .and_then(|rest| rest.split_once(",r="))
            .map(|(_, nonce)| nonce.split(',').next().unwrap_or_default())
            .filter(|nonce| !nonce.is_empty())
            .ok_or_else(|| wrong("it has no nonce"))?;
        let nonce = format!("{client_nonce}{server_nonce}");
        let salt = BASE64.encode(verifier.salt);
        Ok(Exchange {
            header: format!("{binding},,"),
            first: bare.to_owned(),
            challenge: format!("r={nonce},s={salt},i={SCRAM_ITERATIONS}"),
            nonce,
        })
    }

    /// What the client is asked.
    pub(super) fn challenge(&self) -> &str {
        &self.challenge
    }

    /// Checks the client's last message: what proves to it that the server knows the password, or `None` where the proof is none.
    pub(super) fn finish(&self, last: &[u8], verifier: &Verifier) -> Outcome<Option<String>> {
        let text = std::str::from_utf8(last).map_err(|_| wrong("it is no text"))?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or_else(|| wrong("it has no proof"))?;
        let expected = format!("c={},r={}", BASE64.encode(&self.header), self.nonce);
        if without_proof != expected {
            return Err(wrong("it does not repeat what was said"));
        }
        let proof = BASE64.decode(proof).map_err(|_| wrong("its proof is no base64"))?;
        let said = format!("{},{},{without_proof}", self.first, self.challenge);
        Ok(verifier.check(said.as_bytes(), &proof).map(|signature| format!("v={}", BASE64.encode(signature))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifier() -> Verifier {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        Verifier::new("pencil", salt.try_into().unwrap())
    }

    const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const LAST: &str =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    /// RFC 7677, section 3.
    #[test]
    fn the_standards_own_conversation() {
        let exchange = Exchange::begin(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", NONCE, &verifier()).unwrap();
        assert_eq!(
            exchange.challenge(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let told = exchange.finish(LAST.as_bytes(), &verifier()).unwrap();
        assert_eq!(told.as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        let other = Verifier::new("pencils", verifier().salt);
        assert_eq!(exchange.finish(LAST.as_bytes(), &other).unwrap(), None);
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        for first in [
            "",
            "n,,",
            "n,,n=user",
            "n,,n=user,r=",
            "p=tls-unique,,n=user,r=x",
            "n,a=other,n=user,r=x",
            "n,,m=x,n=user,r=x",
        ] {
            assert!(Exchange::begin(first.as_bytes(), NONCE, &verifier()).is_err(), "{first}");
        }
        assert!(Exchange::begin(b"\xff", NONCE, &verifier()).is_err());
        let exchange = Exchange::begin(b"y,,n=user,r=rOprNGfwEbeRWgbNEkqO", NONCE, &verifier()).unwrap();
        // Somebody in between has taken away what the client said of channel binding.
        assert!(exchange.finish(LAST.as_bytes(), &verifier()).is_err());
        for last in ["", "c=eSws", "c=eSws,r=x,p=eA==", "c=eSws,r=rOprNGfwEbeRWgbNEkqO,p=?"] {
            assert!(exchange.finish(last.as_bytes(), &verifier()).is_err(), "{last}");
        }
    }
}
