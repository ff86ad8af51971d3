//! TLS to the server: what each `sslmode` checks, and the value that SCRAM's channel binding signs.
//!
//! rustls checks a certificate's chain and its name in one step and with stricter rules than OpenSSL. Two things that people's
//! servers rely on are therefore decided here: `verify-ca` takes a chain whose name does not fit, and a self-signed certificate that is
//! itself the `sslrootcert` is taken although it calls itself an authority.

use std::{fs, io, sync::Arc};

use ring::digest;
use rustls::{
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name, WebPkiServerVerifier,
    },
    crypto::{ring::default_provider, CryptoProvider},
    pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::ParsedCertificate,
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::{
    config::{RootCertificates, Ssl, SslMode},
    error::{Result, SourceError},
};

/// Builds the client's side of TLS. `address` is for errors only.
pub fn client_config(ssl: &Ssl, address: &str) -> Result<Arc<ClientConfig>> {
    let tls = |reason: String| SourceError::Tls { address: address.to_owned(), reason };
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = if ssl.mode < SslMode::VerifyCa {
        Arc::new(Unverified(provider))
    } else {
        let (store, pinned) = roots(ssl.roots.as_ref().unwrap_or(&RootCertificates::System), address)?;
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
            .build()
            .map_err(|error| tls(error.to_string()))?;
        Arc::new(Verified { chain, pinned, name: ssl.mode == SslMode::VerifyFull })
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match &ssl.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(&certificate.to_string_lossy())?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| file_error(&key.to_string_lossy(), error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| tls(error.to_string()))?
        }
    };
    Ok(Arc::new(config))
}

fn file_error(path: &str, error: impl std::fmt::Display) -> SourceError {
    SourceError::File { path: path.to_owned(), reason: error.to_string() }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let pem = fs::read(path).map_err(|error| file_error(path, error))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| file_error(path, error))?;
    match certificates.is_empty() {
        true => Err(file_error(path, "there is no certificate in it")),
        false => Ok(certificates),
    }
}

/// The known authorities, and the certificates that were named one by one.
fn roots(roots: &RootCertificates, address: &str) -> Result<(RootCertStore, Vec<CertificateDer<'static>>)> {
    let mut store = RootCertStore::empty();
    match roots {
        RootCertificates::File(path) => {
            let path = path.to_string_lossy();
            let named = certificates(&path)?;
            for certificate in &named {
                store.add(certificate.clone()).map_err(|error| file_error(&path, error))?;
            }
            Ok((store, named))
        }
        RootCertificates::System => {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            match store.is_empty() {
                true => Err(SourceError::Tls {
                    address: address.to_owned(),
                    reason: "the operating system names no certificate authority; set sslrootcert".into(),
                }),
                false => Ok((store, Vec::new())),
            }
        }
    }
}

/// What `require` and `prefer` ask for: a secret line, to whomever.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[derive(Debug)]
struct Verified {
    chain: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
    /// Whether the name must fit too.
    name: bool,
}

impl ServerCertVerifier for Verified {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pinned.iter().any(|pinned| pinned.as_ref() == certificate.as_ref()) {
            if self.name {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        // The chain is checked before the name, so an error about the name says that the chain is good.
        match self.chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// `tls-server-end-point` (RFC 5929, section 4.1): the certificate's hash by the hash function of its own signature, at least
/// SHA-256. `None` where that is not defined (Ed25519, RSASSA-PSS), and SCRAM then goes unbound.
pub fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match signature_algorithm(certificate)? {
        // md5WithRSAEncryption, sha1WithRSAEncryption, sha256WithRSAEncryption
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x04 | 0x05 | 0x0B] => &digest::SHA256,
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0C] => &digest::SHA384,
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0D] => &digest::SHA512,
        // ecdsa-with-SHA256, -SHA384, -SHA512
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02] => &digest::SHA256,
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x03] => &digest::SHA384,
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x04] => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { algorithm OBJECT IDENTIFIER, … }, … }` in DER.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (body, _) = der(certificate, SEQUENCE)?;
    let (_, behind_tbs) = der(body, SEQUENCE)?;
    let (algorithm, _) = der(behind_tbs, SEQUENCE)?;
    der(algorithm, OBJECT_IDENTIFIER).map(|(oid, _)| oid)
}

/// Splits a DER element with this tag into its content and what follows.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    if found != tag {
        return None;
    }
    rest.split_at_checked(length)
}

/// What a failed handshake says, with the reason in front that people can act on.
pub(crate) fn handshake_reason(error: &io::Error) -> String {
    let certificate = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match certificate {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "the server's certificate comes from no known authority".into()
        }
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "the server's certificate is for another host".into(),
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "the server's certificate has expired".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_point_is_hashed_as_the_signature_was() {
        let oid_sha384: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0C];
        let mut algorithm = vec![0x30, oid_sha384.len() as u8 + 2];
        algorithm.extend_from_slice(oid_sha384);
        algorithm.extend_from_slice(&[0x05, 0x00]);
        let tbs = [vec![0x30, 0x81, 0x80], vec![7; 0x80]].concat();
        let body = [tbs, algorithm, vec![0x03, 0x01, 0x00]].concat();
        let certificate = [vec![0x30, 0x82, (body.len() >> 8) as u8, body.len() as u8], body].concat();
        assert_eq!(server_end_point(&certificate).unwrap().len(), 48);
        assert_eq!(server_end_point(&certificate[..20]), None);
    }
}
