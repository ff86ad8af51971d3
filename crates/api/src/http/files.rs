//! A few files, given to browsers of this machine: the docs of a dbt project.

use std::{net::SocketAddr, net::TcpListener, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{header, Method, Response, StatusCode},
    response::IntoResponse,
    Router,
};

use super::{shield, ServeError};

/// What a path of a request gives: bytes and their type.
pub type Lookup = dyn Fn(&str) -> Option<(Vec<u8>, &'static str)> + Send + Sync;

struct Site {
    lookup: Box<Lookup>,
    address: SocketAddr,
}

/// Serves files to this machine until `stopped` is done. Each request is answered from `lookup`, which is given its path without the slash in front.
/// `listening` is told where that is.
///
/// # Errors
/// `MS7001`: the address can't be listened on. `MS7003`: others than this machine could ask. `MS7002`: no threads.
pub fn serve_files(
    address: &str,
    lookup: Box<Lookup>,
    listening: impl FnOnce(SocketAddr),
    stopped: impl std::future::Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if !address.ip().is_loopback() {
        return Err(ServeError::Open { address });
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Start)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(ServeError::Start)?;
        let site = Arc::new(Site { lookup, address });
        let router = Router::new().fallback(answer).with_state(site);
        listening(address);
        axum::serve(listener, router).with_graceful_shutdown(stopped).await.map_err(ServeError::Start)
    })
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response<Body> {
    if let Err(problem) = shield::check(request.headers(), site.address, false) {
        return problem.into_response();
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    // Files are small, and nobody else waits.
    match (site.lookup)(request.uri().path().trim_start_matches('/')) {
        Some((bytes, kind)) => {
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
