//! One request to a collector: OTLP over HTTP/1.1, in protobuf.
//!
//! A connection is made for each: there is one request a second at most, and a connection that is kept is one more thing that can be stale.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    client::conn::http1,
    header::{HeaderName, HeaderValue, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT},
    HeaderMap, Request, StatusCode,
};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use rustls::{crypto::ring::default_provider, pki_types::ServerName, ClientConfig, RootCertStore};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{endpoint::Endpoint, Settings};

/// What a request may take. A collector that is well answers in milliseconds.
const POST_MAX: Duration = Duration::from_secs(10);

/// An answer says a number and a sentence; what is longer is none.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What a refusal is quoted by: whatever a proxy in between put there need not fill the log.
const REASON_CHARS_MAX: usize = 200;

/// Why spans were not taken.
#[derive(Debug)]
pub(crate) struct Refused {
    /// In words.
    pub(crate) reason: String,
    /// Whether the same may be taken later, and what the collector says about when.
    pub(crate) again: Option<Option<Duration>>,
}

impl Refused {
    fn passing(reason: impl fmt::Display) -> Self {
        Refused { reason: reason.to_string(), again: Some(None) }
    }
}

/// Headers that are the protocol's, or ours to say.
const OWN_HEADERS: [&str; 6] =
    ["host", "content-type", "content-length", "transfer-encoding", "connection", "user-agent"];

/// Whether a header can be sent to a collector.
///
/// # Errors
/// What is wrong with it, to be read behind "the header".
pub fn check_header(name: &str, value: &str) -> Result<(), &'static str> {
    if HeaderName::try_from(name).is_err() {
        return Err("has a name that none can have");
    }
    if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err("is set by Millstream itself");
    }
    HeaderValue::from_str(value).map(drop).map_err(|_| "has a value that none can have")
}

/// Speaks with one collector.
pub(crate) struct Collector {
    endpoint: Endpoint,
    headers: HeaderMap,
    tls: Option<Result<TlsConnector, String>>,
}

impl Collector {
    pub(crate) fn new(settings: Settings) -> Self {
        let Settings { endpoint, headers: given, .. } = settings;
        let mut headers = HeaderMap::new();
        headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("millstream/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in &given {
            // Checked where they were read; what is no header can't be sent.
            if let (Ok(name), Ok(mut value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value))
            {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if let Ok(host) = HeaderValue::from_str(&endpoint.authority()) {
            headers.insert(HOST, host);
        }
        let tls = endpoint.tls.then(connector);
        Collector { endpoint, headers, tls }
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends. The collector tells how many spans it did not want.
    pub(crate) async fn post(&self, body: Bytes) -> Result<usize, Refused> {
        let posted = tokio::time::timeout(POST_MAX, self.connect_and_post(body)).await;
        posted.unwrap_or_else(|_| {
            Err(Refused::passing(format!("it did not answer within {} s", POST_MAX.as_secs())))
        })
    }

    async fn connect_and_post(&self, body: Bytes) -> Result<usize, Refused> {
        let stream = TcpStream::connect((self.endpoint.host.as_str(), self.endpoint.port)).await;
        let stream = stream.map_err(Refused::passing)?;
        match &self.tls {
            None => self.post_over(stream, body).await,
            Some(Err(reason)) => Err(Refused::passing(reason)),
            Some(Ok(connector)) => {
                let name = ServerName::try_from(self.endpoint.host.clone());
                let name = name.map_err(Refused::passing)?;
                let stream = connector.connect(name, stream).await.map_err(Refused::passing)?;
                self.post_over(stream, body).await
            }
        }
    }

    async fn post_over<S>(&self, stream: S, body: Bytes) -> Result<usize, Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Refused::passing)?;
        // It ends with the request's answer, or with this future.
        let driver = tokio::spawn(connection);
        let _ended = AbortOnDrop(driver);
        let mut request =
            Request::post(self.endpoint.path.as_str()).body(Full::new(body)).map_err(Refused::passing)?;
        request.headers_mut().clone_from(&self.headers);
        let response = sender.send_request(request).await.map_err(Refused::passing)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        read(head.status, &head.headers, &body)
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What an answer says: how many spans were not wanted, or why none was taken. Which statuses may pass is the specification's list
/// ("Retryable Response Codes").
fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<usize, Refused> {
    if status.is_success() {
        // Nothing, or something else, is a proxy's or a simpler collector's way of taking them.
        let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        return Ok(usize::try_from(rejected).unwrap_or_default());
    }
    let passes = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let wait = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let said: String =
        String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
    let said = if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
    Err(Refused {
        reason: format!("it answers {}{said}", status.as_u16()),
        again: passes.then(|| wait.map(Duration::from_secs)),
    })
}

/// TLS by the authorities that the system knows.
fn connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("the system names no certificate authority; set SSL_CERT_FILE".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    #[test]
    fn an_answer_says_what_was_taken_and_whether_to_try_again() {
        let none = HeaderMap::new();
        assert_eq!(read(StatusCode::OK, &none, b"").unwrap(), 0);
        assert_eq!(read(StatusCode::OK, &none, b"<html>").unwrap(), 0);
        let partial = ExportTracePartialSuccess { rejected_spans: 7, error_message: String::new() };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
        assert_eq!(read(StatusCode::OK, &none, &answer.encode_to_vec()).unwrap(), 7);
        let again = |status: u16, headers: &HeaderMap| {
            read(StatusCode::from_u16(status).unwrap(), headers, b"no").unwrap_err().again
        };
        for status in [429, 502, 503, 504] {
            assert_eq!(again(status, &none), Some(None), "{status}");
        }
        for status in [301, 400, 401, 404, 413, 500] {
            assert_eq!(again(status, &none), None, "{status}");
        }
        let mut later = HeaderMap::new();
        later.insert(RETRY_AFTER, HeaderValue::from_static("12"));
        assert_eq!(again(503, &later), Some(Some(Duration::from_secs(12))));
        let long = format!("no\r\n{}", "x".repeat(1000));
        let reason = read(StatusCode::BAD_REQUEST, &none, long.as_bytes()).unwrap_err().reason;
        assert!(reason.starts_with("it answers 400: noxx") && reason.len() < 300, "{reason}");
    }
}
