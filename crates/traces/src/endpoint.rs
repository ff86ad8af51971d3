//! A collector's address.

use std::fmt;

use hyper::{http::uri::Scheme, Uri};

/// Where OTLP over HTTP takes traces below a collector's address (OTLP specification, "OTLP/HTTP Request").
const TRACES_PATH: &str = "/v1/traces";

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointError(&'static str);

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for EndpointError {}

/// A collector's address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it is spoken to by TLS.
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
}

impl Endpoint {
    /// Of a collector that takes several signals, each below the address: `http://127.0.0.1:4318`. The whole address of its traces is taken for
    /// what it means.
    ///
    /// # Errors
    /// What is wrong with it, to be read behind "the address".
    pub fn of_collector(text: &str) -> Result<Self, EndpointError> {
        let mut endpoint = Self::of_traces(text)?;
        if !endpoint.path.ends_with(TRACES_PATH) {
            endpoint.path = format!("{}{TRACES_PATH}", endpoint.path.trim_end_matches('/'));
        }
        Ok(endpoint)
    }

    /// The address that traces go to, as it stands.
    ///
    /// # Errors
    /// What is wrong with it, to be read behind "the address".
    pub fn of_traces(text: &str) -> Result<Self, EndpointError> {
        let uri: Uri = text.parse().map_err(|_| EndpointError("is not a URL"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(EndpointError("must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or(EndpointError("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(EndpointError("holds a user or a password, which belong into a header"));
        }
        if uri.query().is_some() {
            return Err(EndpointError("holds a query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(EndpointError("names no host"));
        }
        // A port that is no number is none to `Uri`.
        if authority.port_u16().is_none() && authority.as_str() != authority.host() {
            return Err(EndpointError("has a port that is none"));
        }
        // Plain HTTP's own port is nobody's collector, but that is what a URL without one says.
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Endpoint { tls, host, port, path: uri.path().to_owned() })
    }

    /// The header `Host`.
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_below_a_collectors_address_once() {
        for (text, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://otlp.example.com/otlp", "https://otlp.example.com:443/otlp/v1/traces"),
            ("https://otlp.example.com/v1/traces", "https://otlp.example.com:443/v1/traces"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ] {
            assert_eq!(Endpoint::of_collector(text).unwrap().to_string(), expected);
        }
        assert_eq!(Endpoint::of_traces("http://c:9/in").unwrap().to_string(), "http://c:9/in");
    }

    #[test]
    fn an_address_that_can_not_be_meant_is_refused() {
        for (text, why) in [
            ("127.0.0.1:4318", "must begin"),
            ("collector", "must begin"),
            ("grpc://collector:4317", "must begin"),
            ("http://", "not a URL"),
            ("http://user:secret@collector:4318", "header"),
            ("http://collector:4318/?token=secret", "query"),
            ("http://collector:99999", "port"),
            ("http://collector:4318:1", "URL"),
        ] {
            let error = Endpoint::of_collector(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
