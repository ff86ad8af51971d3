//! How to reach the source, and what of it is wanted.
//!
//! Connections are written as libpq writes them (PostgreSQL documentation, "Connection Strings"): a URI or key=value pairs. They are
//! parsed here because the replication connection and the SQL connections share one way in, TLS included.
//! A password never leaves this module but towards the server: it has no `Display`, its `Debug` hides it, and no error
//! repeats any part of a connection string's values.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use crate::{
    error::{Result, SourceError},
    patterns::TablePatterns,
    wire::KEEPALIVE_IDLE,
};

/// How long one attempt may take, name resolution, TLS and authentication included, where the connection string does not say.
/// Long enough for a distant server under load, short enough that a person still waits.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);

/// Debian's and the packages' directory for the server's sockets, used where no host is named.
const SOCKET_DIRECTORY_DEFAULT: &str = "/var/run/postgresql";

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// From its text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name or address, and the address to use for it if its name is not to be looked up.
    Tcp {
        /// Host name or address: what a certificate must be for.
        name: String,
        /// `hostaddr`.
        address: Option<String>,
        /// Port.
        port: u16,
    },
    /// A socket file.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Tcp { name, port, .. } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Host::Tcp { name, port, .. } => write!(f, "{name}:{port}"),
            Host::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How much TLS is wanted (PostgreSQL documentation, "SSL Support").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// None.
    Disable,
    /// If the server offers it. `allow` is taken as this: it lets in all that `allow` would.
    Prefer,
    /// Always, without looking at the certificate unless `sslrootcert` is given.
    Require,
    /// The certificate must come from a known authority.
    VerifyCa,
    /// And be for the host that is named.
    VerifyFull,
}

/// Which authorities are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// Those of the operating system (`sslrootcert=system`, and the default of the verifying modes).
    System,
    /// Those of a PEM file.
    File(PathBuf),
}

/// The TLS part of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssl {
    /// How much.
    pub mode: SslMode,
    /// Known authorities, if named.
    pub roots: Option<RootCertificates>,
    /// Certificate and key of our own (PEM files), if the server asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Whether SCRAM is bound to the TLS channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both sides can.
    Prefer,
    /// Or no connection.
    Require,
}

/// How to reach a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Tried in order; the first that answers is taken, of several the first that is a primary.
    pub hosts: Vec<Host>,
    /// Role.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
    /// Database.
    pub database: String,
    /// What `pg_stat_activity` shows.
    pub application_name: String,
    /// Command-line options for the session, as libpq's `options`.
    pub options: Option<String>,
    /// Bound on one attempt.
    pub connect_timeout: Duration,
    /// How long the server may be silent before it is asked whether it is still there.
    pub keepalives_idle: Duration,
    /// TLS.
    pub ssl: Ssl,
    /// SCRAM over TLS.
    pub channel_binding: ChannelBinding,
}

/// What is replicated from where.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// How to reach it.
    pub connection: Connection,
    /// Name of the replication slot.
    pub slot: String,
    /// Name of the publication.
    pub publication: String,
    /// Which tables.
    pub tables: TablePatterns,
}

impl Connection {
    /// The servers' addresses, for people.
    pub fn address(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        hosts.join(", ")
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.user, self.address(), self.database)
    }
}

impl FromStr for Connection {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let mut parameters = Parameters::default();
        match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
            Some(rest) => parse_uri(rest, &mut parameters)?,
            None => parse_pairs(text, &mut parameters)?,
        }
        parameters.build()
    }
}

fn malformed(reason: impl Into<String>) -> SourceError {
    SourceError::Connection { reason: reason.into() }
}

/// The parameters as written.
#[derive(Default)]
struct Parameters(Vec<(&'static str, String)>);

/// Every parameter that is understood. What libpq knows beyond these is refused by name instead of being ignored.
const KNOWN: [&str; 17] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "ssl",
    "connect_timeout",
    "keepalives_idle",
    "application_name",
    "options",
    "channel_binding",
    "target_session_attrs",
];

impl Parameters {
    fn set(&mut self, name: &str, value: String) -> Result<()> {
        let Some(known) = KNOWN.into_iter().find(|known| *known == name) else {
            // A name that is no plain word may be a piece of a password with an unescaped `&`.
            let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            return Err(malformed(match plain {
                true => format!("parameter `{name}` is not known"),
                false => {
                    "it holds something that is no parameter; special characters must be escaped".to_owned()
                }
            }));
        };
        if value.contains('\0') {
            return Err(malformed(format!("`{known}` holds a zero byte")));
        }
        self.0.retain(|(name, _)| *name != known);
        self.0.push((known, value));
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    fn build(self) -> Result<Connection> {
        let user = match self.get("user") {
            Some(user) => user.to_owned(),
            None => return Err(malformed("no user is named")),
        };
        let mode = match self.get("sslmode") {
            None if self.get("ssl") == Some("true") => SslMode::Require,
            None => SslMode::Prefer,
            Some("disable") => SslMode::Disable,
            Some("allow" | "prefer") => SslMode::Prefer,
            Some("require") => SslMode::Require,
            Some("verify-ca") => SslMode::VerifyCa,
            Some("verify-full") => SslMode::VerifyFull,
            Some(_) => {
                return Err(malformed(
                    "sslmode is one of disable, allow, prefer, require, verify-ca, verify-full",
                ))
            }
        };
        let roots = self.get("sslrootcert").map(|path| match path {
            "system" => RootCertificates::System,
            path => RootCertificates::File(path.into()),
        });
        // libpq: with a root certificate at hand, `require` verifies the authority; with the system's, nothing less than
        // verify-full makes sense.
        let mode = match (&roots, mode) {
            (Some(RootCertificates::System), SslMode::VerifyCa | SslMode::Require)
                if self.get("sslmode").is_some() =>
            {
                return Err(malformed("sslrootcert=system needs sslmode=verify-full"))
            }
            (Some(RootCertificates::System), SslMode::Prefer) => SslMode::VerifyFull,
            (Some(RootCertificates::File(_)), SslMode::Require) => SslMode::VerifyCa,
            (_, mode) => mode,
        };
        let identity = match (self.get("sslcert"), self.get("sslkey")) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => return Err(malformed("sslcert and sslkey belong together")),
        };
        let channel_binding = match self.get("channel_binding") {
            None | Some("prefer") => ChannelBinding::Prefer,
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(_) => return Err(malformed("channel_binding is one of disable, prefer, require")),
        };
        // Among several hosts the primary is always looked for: nothing to choose.
        if !matches!(self.get("target_session_attrs"), None | Some("any" | "read-write" | "primary")) {
            return Err(malformed("target_session_attrs is one of any, read-write, primary"));
        }
        let connect_timeout = match self.get("connect_timeout") {
            None | Some("0") => CONNECT_TIMEOUT_DEFAULT,
            Some(seconds) => Duration::from_secs(
                seconds.parse().map_err(|_| malformed("connect_timeout is a number of seconds"))?,
            ),
        };
        let keepalives_idle = match self.get("keepalives_idle") {
            None | Some("0") => KEEPALIVE_IDLE,
            Some(seconds) => Duration::from_secs(
                seconds.parse().map_err(|_| malformed("keepalives_idle is a number of seconds"))?,
            ),
        };
        Ok(Connection {
            hosts: self.hosts()?,
            database: self.get("dbname").unwrap_or(&user).to_owned(),
            user,
            password: self.get("password").map(Secret::new),
            application_name: self.get("application_name").unwrap_or("millstream").to_owned(),
            options: self.get("options").map(str::to_owned),
            connect_timeout,
            keepalives_idle,
            ssl: Ssl { mode, roots, identity },
            channel_binding,
        })
    }

    /// Hosts, addresses and ports are lists of equal length; a single port holds for all.
    fn hosts(&self) -> Result<Vec<Host>> {
        let list = |name| self.get(name).map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>());
        let (names, addresses) = (list("host"), list("hostaddr"));
        let ports = list("port").unwrap_or_else(|| vec!["5432".into()]);
        let count = names.as_ref().or(addresses.as_ref()).map_or(1, Vec::len);
        if names
            .as_ref()
            .zip(addresses.as_ref())
            .is_some_and(|(names, addresses)| names.len() != addresses.len())
            || (ports.len() != 1 && ports.len() != count)
        {
            return Err(malformed("host, hostaddr and port do not have the same number of entries"));
        }
        (0..count)
            .map(|index| {
                let port = match ports[index.min(ports.len() - 1)].as_str() {
                    "" => 5432,
                    port => port.parse().map_err(|_| malformed("port is a number from 1 to 65535"))?,
                };
                let entry = |list: &Option<Vec<String>>| {
                    list.as_ref().map(|list| list[index].clone()).filter(|entry| !entry.is_empty())
                };
                let (name, address) = (entry(&names), entry(&addresses));
                Ok(match (name, address) {
                    (Some(name), address) if !name.starts_with('/') => Host::Tcp { name, address, port },
                    (None, Some(address)) => {
                        Host::Tcp { name: address.clone(), address: Some(address), port }
                    }
                    (name, _) => {
                        let directory = name.unwrap_or_else(|| SOCKET_DIRECTORY_DEFAULT.into());
                        Host::Unix(PathBuf::from(directory).join(format!(".s.PGSQL.{port}")))
                    }
                })
            })
            .collect()
    }
}

fn decode(text: &str) -> Result<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b'%' {
            let digits = bytes.get(index + 1..index + 3).and_then(|digits| std::str::from_utf8(digits).ok());
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            out.push(byte.ok_or_else(|| {
                malformed("a `%` is not followed by two hexadecimal digits; write %25 for it")
            })?);
            index += 3;
        } else {
            out.push(bytes[index]);
            index += 1;
        }
    }
    String::from_utf8(out).map_err(|_| malformed("an escaped value is not UTF-8"))
}

/// `[user[:password]@][host[:port][,…]][/dbname][?name=value[&…]]`
fn parse_uri(rest: &str, parameters: &mut Parameters) -> Result<()> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // An `@` belongs before the path; a `/` before it can only be part of an unescaped password or a socket's path, which
    // libpq wants escaped.
    let (authority, database) = match rest.split_once('/') {
        Some((authority, database)) => (authority, database),
        None => (rest, ""),
    };
    if database.contains('@') && !authority.contains('@') {
        return Err(malformed(
            "special characters of user and password must be escaped (`/` as %2F, `@` as %40)",
        ));
    }
    let hosts = match authority.rsplit_once('@') {
        Some((user, hosts)) => {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            parameters.set("user", decode(user)?)?;
            parameters.set("password", decode(password)?)?;
            hosts
        }
        None => authority,
    };
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',').filter(|_| !hosts.is_empty()) {
        let (name, port) = match host.strip_prefix('[') {
            Some(address) => {
                let (name, rest) = address
                    .split_once(']')
                    .ok_or_else(|| malformed("an IPv6 address lacks its closing bracket"))?;
                (name, rest.strip_prefix(':').unwrap_or(rest))
            }
            None => host.split_once(':').unwrap_or((host, "")),
        };
        names.push(decode(name)?);
        ports.push(port.to_owned());
    }
    parameters.set("host", names.join(","))?;
    if ports.iter().any(|port| !port.is_empty()) {
        parameters.set("port", ports.join(","))?;
    }
    parameters.set("dbname", decode(database)?)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| malformed("a parameter lacks its value"))?;
        parameters.set(&decode(name)?, decode(value)?)?;
    }
    Ok(())
}

/// `name = value …`; values with spaces in single quotes, `\` escapes.
fn parse_pairs(text: &str, parameters: &mut Parameters) -> Result<()> {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) =
            rest.split_once('=').ok_or_else(|| malformed("it is neither a URI nor key=value pairs"))?;
        let mut chars = after.trim_start().chars();
        let mut value = String::new();
        let quoted = chars.clone().next() == Some('\'');
        if quoted {
            chars.next();
        }
        loop {
            match chars.next() {
                Some('\\') => value.extend(chars.next()),
                Some('\'') if quoted => break,
                Some(c) if c.is_whitespace() && !quoted => break,
                Some(c) => value.push(c),
                None if quoted => return Err(malformed("a quoted value lacks its closing quote")),
                None => break,
            }
        }
        parameters.set(name.trim(), value)?;
        rest = chars.as_str().trim_start();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Connection {
        text.parse().unwrap()
    }

    #[test]
    fn a_uri_and_pairs_say_the_same() {
        let uri = parse("postgresql://u%40x:p%2Fw@db.example:6432/shop?sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=3");
        let pairs = parse("host=db.example port=6432 user=u@x password='p/w' dbname = shop sslmode=verify-full sslrootcert=/ca.pem connect_timeout=3");
        assert_eq!(uri, pairs);
        assert_eq!(uri.ssl.mode, SslMode::VerifyFull);
        assert_eq!(uri.connect_timeout, Duration::from_secs(3));
        assert_eq!(uri.password.unwrap().reveal(), "p/w");
        assert_eq!(uri.hosts, [Host::Tcp { name: "db.example".into(), address: None, port: 6432 }]);
    }

    #[test]
    fn hosts_are_lists_and_paths_are_sockets() {
        let connection = parse("postgres://u@a,b:7000,[::1]:7001/d");
        assert_eq!(connection.address(), "a:5432, b:7000, [::1]:7001");
        assert_eq!(parse("user=u").address(), "/var/run/postgresql/.s.PGSQL.5432");
        assert_eq!(parse("postgresql:///d?user=u&host=/tmp/s&port=99").address(), "/tmp/s/.s.PGSQL.99");
        assert_eq!(parse("postgresql://u@%2Ftmp%2Fs:99/d").address(), "/tmp/s/.s.PGSQL.99");
        let by_address = parse("host=name hostaddr=10.0.0.1 user=u");
        assert_eq!(
            by_address.hosts,
            [Host::Tcp { name: "name".into(), address: Some("10.0.0.1".into()), port: 5432 }]
        );
    }

    #[test]
    fn the_password_is_never_shown() {
        let connection = parse("postgresql://u:hunter2@h/d");
        assert!(!format!("{connection:?} {connection}").contains("hunter2"));
        for broken in [
            "postgresql://u:hun/ter2@h/d",
            "postgresql://u:hunter2@h/d?hunter2=1&x",
            "postgresql://u:hunter2%@h/d",
            "user=u password='hunter2",
            "user=u password=a hunter2",
            "user=u password=a=b hunter2=3",
            "postgresql://u:a?hunter2@h/d",
        ] {
            let error = broken.parse::<Connection>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2@"), "{broken}: {error}");
            assert!(matches!(error, SourceError::Connection { .. }));
        }
    }

    #[test]
    fn unknown_parameters_and_modes_are_refused() {
        for broken in
            ["user=u sslmode=maybe", "user=u krbsrvname=x", "host=h", "nonsense", "user=u port=70000"]
        {
            assert!(broken.parse::<Connection>().is_err(), "{broken}");
        }
    }

    #[test]
    fn a_root_certificate_makes_require_verify() {
        assert_eq!(parse("user=u host=h sslmode=require sslrootcert=/x").ssl.mode, SslMode::VerifyCa);
        assert_eq!(parse("user=u host=h sslmode=require").ssl.mode, SslMode::Require);
        assert_eq!(parse("user=u host=h sslrootcert=system").ssl.mode, SslMode::VerifyFull);
        assert_eq!(parse("user=u host=h").ssl.mode, SslMode::Prefer);
    }
}
