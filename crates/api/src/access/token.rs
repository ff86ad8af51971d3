//! Tokens of an issuer elsewhere (JWT, RFC 7519), checked as RFC 8725 advises.
//!
//! The algorithms are those of the configuration and belong to its one key: what a token's head says only has to be among them. So there is neither a token
//! without a signature nor one whose HMAC was made with a public key. A token without an end is none.

use jsonwebtoken::{
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    decode,
    errors::{Error, ErrorKind},
    get_current_timestamp,
    signature::{self, Verifier},
    Algorithm, AlgorithmFamily, DecodingKey, Validation,
};
use ring::{hmac, signature as asymmetric};
use serde_json::{Map, Value};

/// Clocks of issuer and server may differ by so many seconds.
const LEEWAY_SECONDS: u64 = 30;

/// A longer token is none: heads of requests are bounded too, and nobody's claims take more.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A shared secret is at least as long as the shortest hash (RFC 7518, section 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// The names of algorithms that can be configured.
pub const ALGORITHMS: [&str; 11] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "HS256", "HS384", "HS512"];

/// What tokens have to be.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// Names of algorithms, all for one kind of key.
    pub algorithms: Vec<String>,
    /// Whom they must be for (`aud`).
    pub audience: String,
    /// Who must have made them (`iss`), where that matters.
    pub issuer: Option<String>,
    /// The claim that names the role.
    pub role_claim: String,
    /// A public key in PEM, or the secret of HS256, HS384 and HS512.
    pub key: Vec<u8>,
}

/// Why tokens can't be checked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No algorithm, or one that is not known.
    #[error("`{0}` is no algorithm of tokens")]
    Algorithm(String),
    /// Algorithms that one key can't serve: a public key must never be taken for a secret.
    #[error("the algorithms are for different kinds of keys")]
    Mixed,
    /// The key is not of the algorithms' kind.
    #[error("the key is not one for {0}")]
    Key(String),
}

/// Checks tokens.
pub struct Tokens {
    key: DecodingKey,
    validation: Validation,
    role_claim: String,
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// Whose it is (`sub`), for the log.
    pub(super) subject: Option<String>,
    pub(super) role: String,
    /// Until when it is good, in seconds since 1970.
    pub(super) until: u64,
}

impl Tokens {
    /// As configured.
    pub fn new(config: &TokenConfig) -> Result<Self, TokenError> {
        let named = |name: &String| {
            let known = ALGORITHMS.contains(&name.as_str());
            name.parse::<Algorithm>()
                .ok()
                .filter(|_| known)
                .ok_or_else(|| TokenError::Algorithm(name.clone()))
        };
        let algorithms: Vec<Algorithm> = config.algorithms.iter().map(named).collect::<Result<_, _>>()?;
        let family = algorithms.first().ok_or_else(|| TokenError::Algorithm(String::new()))?.family();
        if algorithms.iter().any(|algorithm| algorithm.family() != family) {
            return Err(TokenError::Mixed);
        }
        let wrong = || TokenError::Key(config.algorithms.join(", "));
        let key = match family {
            AlgorithmFamily::Hmac if config.key.len() < SECRET_BYTES_MIN => return Err(wrong()),
            AlgorithmFamily::Hmac => DecodingKey::from_secret(&config.key),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(&config.key).map_err(|_| wrong())?,
            _ => DecodingKey::from_ec_pem(&config.key).map_err(|_| wrong())?,
        };
        // Whoever else in this process installed one first installed this one.
        let _ = PROVIDER.install_default();
        let mut validation = Validation::new(algorithms[0]);
        validation.algorithms = algorithms;
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_audience(&[&config.audience]);
        let mut required = vec!["exp", "aud"];
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Ok(Tokens { key, validation, role_claim: config.role_claim.clone() })
    }

    /// What a token says, if it is a good one.
    pub(super) fn check(&self, text: &str) -> Option<Told> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let token = decode::<Map<String, Value>>(text, &self.key, &self.validation);
        // Why is said to the operator: whoever made it up should not be helped.
        let claims = token.map_err(|error| tracing::info!(event = "token_refused", %error)).ok()?.claims;
        let role = claims.get(&self.role_claim)?.as_str()?.to_owned();
        let subject = claims.get("sub").and_then(Value::as_str).map(str::to_owned);
        Some(Told { subject, role, until: claims.get("exp")?.as_f64()? as u64 })
    }
}

impl Told {
    /// Whether it is still good.
    pub(super) fn is_good(&self) -> bool {
        get_current_timestamp() < self.until.saturating_add(LEEWAY_SECONDS)
    }
}

/// The signatures' arithmetic, by the library that TLS uses.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(Error::from(ErrorKind::UnsupportedAlgorithm)),
    verifier_factory: |algorithm, key| {
        if key.family() != algorithm.family() {
            return Err(Error::from(ErrorKind::InvalidKeyFormat));
        }
        Ok(Box::new(Signature { algorithm: *algorithm, key: key.try_get_as_bytes()?.to_vec() }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Signature {
    algorithm: Algorithm,
    key: Vec<u8>,
}

impl Verifier<Vec<u8>> for Signature {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> Result<(), signature::Error> {
        let good = match self.algorithm {
            Algorithm::HS256 => self.keyed(hmac::HMAC_SHA256, message, given),
            Algorithm::HS384 => self.keyed(hmac::HMAC_SHA384, message, given),
            Algorithm::HS512 => self.keyed(hmac::HMAC_SHA512, message, given),
            Algorithm::RS256 => self.public(&asymmetric::RSA_PKCS1_2048_8192_SHA256, message, given),
            Algorithm::RS384 => self.public(&asymmetric::RSA_PKCS1_2048_8192_SHA384, message, given),
            Algorithm::RS512 => self.public(&asymmetric::RSA_PKCS1_2048_8192_SHA512, message, given),
            Algorithm::PS256 => self.public(&asymmetric::RSA_PSS_2048_8192_SHA256, message, given),
            Algorithm::PS384 => self.public(&asymmetric::RSA_PSS_2048_8192_SHA384, message, given),
            Algorithm::PS512 => self.public(&asymmetric::RSA_PSS_2048_8192_SHA512, message, given),
            Algorithm::ES256 => self.public(&asymmetric::ECDSA_P256_SHA256_FIXED, message, given),
            Algorithm::ES384 => self.public(&asymmetric::ECDSA_P384_SHA384_FIXED, message, given),
            _ => false,
        };
        good.then_some(()).ok_or_else(signature::Error::new)
    }
}

impl Signature {
    /// Compared in constant time.
    fn keyed(&self, by: hmac::Algorithm, message: &[u8], given: &[u8]) -> bool {
        hmac::verify(&hmac::Key::new(by, &self.key), message, given).is_ok()
    }

    fn public(
        &self,
        by: &'static dyn asymmetric::VerificationAlgorithm,
        message: &[u8],
        given: &[u8],
    ) -> bool {
        asymmetric::UnparsedPublicKey::new(by, &self.key).verify(message, given).is_ok()
    }
}

impl JwtVerifier for Signature {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use base64::{engine::general_purpose::URL_SAFE_NO_PAD as BASE64, Engine};
    use ring::{
        rand::SystemRandom,
        signature::{EcdsaKeyPair, RsaKeyPair, ECDSA_P256_SHA256_FIXED_SIGNING, RSA_PKCS1_SHA256},
    };
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"thirty-two bytes, and some more of them";

    fn config(algorithms: &[&str], key: &[u8]) -> TokenConfig {
        TokenConfig {
            algorithms: algorithms.iter().map(|name| (*name).to_owned()).collect(),
            audience: "api".into(),
            issuer: None,
            role_claim: "role".into(),
            key: key.to_vec(),
        }
    }

    fn claims() -> Value {
        json!({"sub": "ann", "aud": "api", "role": "clerk", "exp": get_current_timestamp() + 600})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = claims();
        claims.as_object_mut().unwrap().shift_remove(name);
        claims
    }

    fn token(head: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let said = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
        let tag = sign(said.as_bytes());
        format!("{said}.{}", BASE64.encode(tag))
    }

    fn keyed(secret: &'static [u8], claims: &Value) -> String {
        token(&json!({"alg": "HS256", "typ": "JWT"}), claims, |said| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), said).as_ref().to_vec()
        })
    }

    /// A private key in PKCS #8 and its public one in PEM, made by openssl.
    fn pair(algorithm: &str, option: &str) -> (Vec<u8>, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| {
            let made = Command::new("openssl").args(arguments).current_dir(&directory).output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        };
        run(&[
            "genpkey",
            "-algorithm",
            algorithm,
            "-pkeyopt",
            option,
            "-outform",
            "DER",
            "-out",
            "private.der",
        ]);
        run(&["pkey", "-inform", "DER", "-in", "private.der", "-pubout", "-out", "public.pem"]);
        run(&[
            "pkcs8",
            "-topk8",
            "-nocrypt",
            "-inform",
            "DER",
            "-in",
            "private.der",
            "-outform",
            "DER",
            "-out",
            "p8.der",
        ]);
        let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
        (read("p8.der"), read("public.pem"))
    }

    fn rsa(private: &[u8], head: &Value, claims: &Value) -> String {
        let pair = RsaKeyPair::from_pkcs8(private).unwrap();
        token(head, claims, |said| {
            let mut tag = vec![0; pair.public().modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), said, &mut tag).unwrap();
            tag
        })
    }

    #[test]
    fn a_token_is_taken_while_it_is_good_and_for_us() {
        let tokens = Tokens::new(&config(&["HS256"], SECRET)).unwrap();
        let told = tokens.check(&keyed(SECRET, &claims())).unwrap();
        assert_eq!((told.subject.as_deref(), told.role.as_str()), (Some("ann"), "clerk"));
        assert!(
            told.is_good() && !Told { until: get_current_timestamp() - LEEWAY_SECONDS - 1, ..told }.is_good()
        );
        let now = get_current_timestamp();
        for good in [
            with("aud", json!(["other", "api"])),
            with("nbf", json!(now - 5)),
            with("exp", json!(now - LEEWAY_SECONDS / 2)),
        ] {
            assert!(tokens.check(&keyed(SECRET, &good)).is_some(), "{good}");
        }
        for wrong in [
            without("exp"),
            without("aud"),
            without("role"),
            with("exp", json!(now - 2 * LEEWAY_SECONDS)),
            with("exp", json!((now + 600).to_string())),
            with("exp", Value::Null),
            with("nbf", json!(now + 600)),
            with("nbf", json!("soon")),
            with("aud", json!("other")),
            with("aud", json!(["other"])),
            with("aud", json!([])),
            with("role", json!(["clerk"])),
        ] {
            assert!(tokens.check(&keyed(SECRET, &wrong)).is_none(), "{wrong}");
        }
        assert!(tokens.check(&keyed(b"another secret of thirty-two bytes", &claims())).is_none());
        let good = keyed(SECRET, &claims());
        let (said, _) = good.rsplit_once('.').unwrap();
        for wrong in [
            said.to_owned(),
            format!("{said}."),
            format!("{good}x"),
            format!(" {good}"),
            "a.b.c".into(),
            String::new(),
            "é.é.é".into(),
        ] {
            assert!(tokens.check(&wrong).is_none(), "{wrong}");
        }
        let issued = TokenConfig { issuer: Some("https://issuer".into()), ..config(&["HS256"], SECRET) };
        let issued = Tokens::new(&issued).unwrap();
        assert!(issued.check(&keyed(SECRET, &claims())).is_none());
        assert!(issued.check(&keyed(SECRET, &with("iss", json!("https://other")))).is_none());
        assert!(issued.check(&keyed(SECRET, &with("iss", json!("https://issuer")))).is_some());
    }

    #[test]
    fn a_token_does_not_choose_how_it_is_checked() {
        let (private, public) = pair("RSA", "rsa_keygen_bits:2048");
        let tokens = Tokens::new(&config(&["RS256"], &public)).unwrap();
        let head = json!({"alg": "RS256", "typ": "JWT"});
        assert!(tokens.check(&rsa(&private, &head, &claims())).is_some());
        // No signature at all, by every spelling.
        for none in ["none", "None", "NONE", "nOnE"] {
            for tag in [Vec::new(), b"x".to_vec()] {
                assert!(
                    tokens.check(&token(&json!({"alg": none}), &claims(), |_| tag.clone())).is_none(),
                    "{none}"
                );
            }
        }
        // The public key, which everybody has, as if it were a secret.
        let secret = public.clone().leak();
        assert!(tokens.check(&keyed(secret, &claims())).is_none());
        let both = token(&json!({"alg": "RS256"}), &claims(), |said| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), said).as_ref().to_vec()
        });
        assert!(tokens.check(&both).is_none());
        // A good signature under a head that says otherwise.
        for other in ["HS256", "RS384", "PS256", "ES256"] {
            assert!(tokens.check(&rsa(&private, &json!({"alg": other}), &claims())).is_none(), "{other}");
        }
        let (stranger, _) = pair("RSA", "rsa_keygen_bits:2048");
        assert!(tokens.check(&rsa(&stranger, &head, &claims())).is_none());
        // Its own key in its head is nobody's.
        let with_key = json!({"alg": "RS256", "jku": "https://evil.example", "kid": "../../x"});
        assert!(tokens.check(&rsa(&stranger, &with_key, &claims())).is_none());
    }

    #[test]
    fn elliptic_curves_are_checked_too() {
        let (private, public) = pair("EC", "ec_paramgen_curve:P-256");
        let tokens = Tokens::new(&config(&["ES256"], &public)).unwrap();
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, &random).unwrap();
        let sign = |said: &[u8]| pair.sign(&random, said).unwrap().as_ref().to_vec();
        assert!(tokens.check(&token(&json!({"alg": "ES256"}), &claims(), sign)).is_some());
        assert!(tokens.check(&token(&json!({"alg": "ES256"}), &claims(), |_| vec![0; 64])).is_none());
    }

    #[test]
    fn keys_and_algorithms_go_together() {
        let (_, public) = pair("RSA", "rsa_keygen_bits:2048");
        for (algorithms, key) in [
            (&["RS256", "HS256"][..], &public[..]),
            (&["RS256"], SECRET),
            (&["ES256"], &public),
            (&["HS256"], b"short"),
            (&["none"], SECRET),
            (&["EdDSA"], SECRET),
            (&[], SECRET),
        ] {
            assert!(Tokens::new(&config(algorithms, key)).is_err(), "{algorithms:?}");
        }
        assert!(Tokens::new(&config(&["RS256", "RS512", "PS256"], &public)).is_ok());
    }
}
