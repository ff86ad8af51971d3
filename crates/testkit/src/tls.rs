//! Certificates for a cluster that speaks TLS: an authority, the server's certificate, clients' certificates.
//!
//! Made by the `openssl` program, which PostgreSQL's packages bring along: a crate for it would be compiled into every test.

use std::fs;
use std::os::unix::fs::{chown, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::account::Account;
use crate::spawn::run;
use crate::{Error, Result};

/// A client certificate signed by the cluster's authority.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// PEM certificate, `sslcert`.
    pub certificate: PathBuf,
    /// PEM key, `sslkey`.
    pub key: PathBuf,
}

/// The authority and what it signed, in one directory.
pub(crate) struct Authority {
    directory: PathBuf,
}

impl Authority {
    /// Makes an authority and a server certificate for `localhost` and 127.0.0.1, readable by the server's account only.
    pub(crate) fn create(directory: PathBuf, account: &Account) -> Result<Self> {
        fs::create_dir(&directory).map_err(Error::during(directory.display()))?;
        let authority = Self { directory };
        authority.self_signed("ca", "Millstream test authority")?;
        authority.self_signed("other-ca", "An authority that signed nothing")?;
        signed_certificate(
            &authority.directory,
            "server",
            "localhost",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        )?;
        for name in ["server.crt", "server.key", "ca.crt"] {
            let path = authority.path(name);
            chown(&path, Some(account.uid), Some(account.gid)).map_err(Error::during(path.display()))?;
        }
        chown(&authority.directory, Some(account.uid), Some(account.gid))
            .map_err(Error::during(authority.directory.display()))?;
        Ok(authority)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn client(&self, user: &str) -> Result<ClientCertificate> {
        let name = format!("client-{user}");
        signed_certificate(&self.directory, &name, user, "extendedKeyUsage=clientAuth")?;
        Ok(ClientCertificate {
            certificate: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
        })
    }

    fn self_signed(&self, name: &str, subject: &str) -> Result<()> {
        self_signed_certificate(
            &self.directory,
            name,
            subject,
            "keyUsage=critical,keyCertSign,digitalSignature",
        )
    }
}

/// A certificate that vouches for itself: `NAME.crt` and `NAME.key` in a directory, good for two days.
///
/// # Errors
/// OpenSSL is missing, or can't write there.
pub fn self_signed_certificate(directory: &Path, name: &str, subject: &str, extension: &str) -> Result<()> {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
    openssl(
        directory,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &format!("/CN={subject}"),
            "-addext",
            extension,
            "-keyout",
            &key,
            "-out",
            &certificate,
        ],
    )
}

/// A certificate that `ca` of the same directory vouches for: `NAME.crt` and `NAME.key`, good for two days.
///
/// # Errors
/// OpenSSL is missing, or there is no `ca.crt` with its `ca.key`.
pub fn signed_certificate(directory: &Path, name: &str, subject: &str, extension: &str) -> Result<()> {
    let file = |suffix: &str| format!("{name}.{suffix}");
    openssl(
        directory,
        &[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            &format!("/CN={subject}"),
            "-keyout",
            &file("key"),
            "-out",
            &file("csr"),
        ],
    )?;
    // Version 3, or strict verifiers refuse the certificate.
    fs::write(directory.join(file("ext")), format!("basicConstraints=CA:FALSE\n{extension}\n"))
        .map_err(Error::during("writing the certificate's extensions"))?;
    openssl(
        directory,
        &[
            "x509",
            "-req",
            "-in",
            &file("csr"),
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &file("ext"),
            "-out",
            &file("crt"),
        ],
    )?;
    let key = directory.join(file("key"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(Error::during(key.display()))
}

fn openssl(directory: &Path, arguments: &[&str]) -> Result<()> {
    run(Command::new("openssl").args(arguments).current_dir(directory), "openssl").map(drop)
}

/// Where the authority of a cluster lives.
pub(crate) fn directory(cluster: &Path) -> PathBuf {
    cluster.join("tls")
}
