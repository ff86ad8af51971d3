//! A request to end the statement that another connection runs (PostgreSQL documentation, "Canceling Requests in Progress").
//!
//! It goes over a connection of its own, which the server closes without an answer, and which takes none of its places for sessions.

use std::{fmt, time::Duration};

use postgres_protocol::message::frontend;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::Stream;
use crate::{
    config::{Connection, Host, Ssl},
    error::{Result, SourceError},
};

const DOING: &str = "cancelling a statement";

/// Bound on one request. Whoever wants something ended doesn't wait for long.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);

/// Ends what one connection runs.
#[derive(Clone)]
pub struct Canceller {
    host: Host,
    ssl: Ssl,
    keepalives_idle: Duration,
    backend_pid: i32,
    secret: i32,
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret is what keeps others from ending our statements.
        f.debug_struct("Canceller").field("host", &self.host).field("backend_pid", &self.backend_pid).finish()
    }
}

impl Canceller {
    pub(super) fn new(connection: &Connection, host: &Host, backend_pid: i32, secret: i32) -> Self {
        Canceller {
            host: host.clone(),
            ssl: connection.ssl.clone(),
            keepalives_idle: connection.keepalives_idle,
            backend_pid,
            secret,
        }
    }

    /// Asks the server to end what the connection runs. It does so soon, or has nothing to end; neither is told.
    ///
    /// # Errors
    /// The server can't be reached.
    pub async fn cancel(&self) -> Result<()> {
        let asked = async {
            let mut stream = Stream::connect(&self.host, &self.ssl, self.keepalives_idle).await?;
            let mut request = Default::default();
            frontend::cancel_request(self.backend_pid, self.secret, &mut request);
            let sent = async {
                stream.write_all(&request).await?;
                stream.flush().await?;
                // Its end says that the request has been read.
                stream.read(&mut [0]).await
            };
            sent.await.map(drop).map_err(|error| SourceError::lost(DOING, error))
        };
        match timeout(REQUEST_TIME_MAX, asked).await {
            Ok(done) => done,
            Err(_) => Err(SourceError::lost(DOING, "the server doesn't answer")),
        }
    }
}
