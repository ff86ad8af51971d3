//! Which path is answered by what.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{header, request::Parts, HeaderValue, Method, StatusCode},
    middleware,
    response::{IntoResponse, Response},
    Router,
};
use bytes::Bytes;
use millstream_core::{Lsn, Trust};

use super::{
    assets, console, cors::Cors, endpoints, identity, live::Live, negotiate, rate::Rates, shield, span,
    tables, ui,
};
use crate::{
    access::{Caller, Limits},
    answer::{Answers, Asked, Format},
    host::{Endpoints, Host},
    metrics::{self, Metrics},
    openapi,
    problem::Problem,
    relation::{Relation, RelationKind},
};

/// A table or model, and which of them it is.
pub(super) type Relations = Arc<Vec<(Relation, RelationKind)>>;

/// Who a request was from, with its response.
#[derive(Clone)]
pub(super) struct Asker(pub(super) Caller);

/// All that requests share.
pub(super) struct Site {
    pub(super) answers: Arc<Answers>,
    pub(super) live: Arc<Live>,
    pub(super) console: console::Console,
    metrics: Metrics,
    pub(super) address: SocketAddr,
    pub(super) cors: Cors,
    limits: Limits,
    rates: Rates,
    /// The relations, as of a generation.
    relations: tokio::sync::Mutex<Option<(u64, Relations)>>,
    /// The description that was asked for last.
    description: Mutex<Option<Description>>,
}

/// The description of what one role may read. Printing it takes milliseconds for a hundred tables, and it is asked for by every page of `/docs`.
struct Description {
    /// The generation, the role, and whether it may do everything.
    of: (u64, Option<String>, bool),
    /// The endpoints that it describes.
    endpoints: Arc<Endpoints>,
    text: Bytes,
}

impl Site {
    pub(super) fn new(
        host: Arc<dyn Host>,
        metrics: Metrics,
        address: SocketAddr,
        cors: Cors,
        limits: Limits,
    ) -> Self {
        let answers = Arc::new(Answers::new(host));
        Site {
            live: Live::new(answers.clone()),
            console: console::Console::default(),
            answers,
            metrics,
            address,
            cors,
            limits,
            rates: Rates::default(),
            relations: tokio::sync::Mutex::default(),
            description: Mutex::default(),
        }
    }

    pub(super) fn host(&self) -> &Arc<dyn Host> {
        self.answers.host()
    }

    /// How much somebody's requests may take.
    pub(super) fn limits(&self, caller: &Caller) -> Limits {
        caller.limits(self.limits)
    }

    /// Whether they may ask again so soon. Whoever looks whether the program lives may always.
    fn allows(&self, caller: &Caller, path: &str) -> Result<(), Problem> {
        let per_second = self.limits(caller).requests_per_second;
        let Some(per_second) = per_second.filter(|_| !matches!(path, "/live" | "/ready")) else {
            return Ok(());
        };
        self.rates.take(caller.key_id().unwrap_or_default(), per_second).map_err(Problem::too_many)
    }

    /// An outcome, if it is there within their time. What is still being read otherwise ends.
    async fn within<T>(
        &self,
        caller: &Caller,
        answered: impl Future<Output = (&'static str, Result<T, Problem>)>,
    ) -> (&'static str, Result<T, Problem>) {
        let Some(limit) = self.limits(caller).time else { return answered.await };
        let outcome = tokio::time::timeout(limit, answered).await;
        outcome.unwrap_or_else(|_| ("too slow", Err(Problem::too_slow(limit.as_secs().max(1)))))
    }

    /// The tables and models now.
    pub(super) async fn relations(&self) -> Result<Relations, Problem> {
        // Whoever asks meanwhile waits for the first one's: each look takes a turn and describes every view.
        let mut known = self.relations.lock().await;
        let generation = self.host().applied().generation;
        if let Some((_, relations)) = known.as_ref().filter(|(of, _)| *of == generation) {
            return Ok(relations.clone());
        }
        let host = self.host().clone();
        let read = self
            .answers
            .reading()
            .with_turn("looking at the tables", move |_| tables::relations(&*host))
            .await?;
        let relations = Arc::new(read);
        *known = Some((generation, relations.clone()));
        Ok(relations)
    }

    /// Whether what the question reads can be read at a position again. Where it can't be told, it can't.
    pub(super) async fn has_history(&self, asked: &Asked) -> bool {
        let host = self.host().clone();
        let (sql, trust, role) = (asked.sql.clone(), asked.trust, asked.role.clone());
        let told = self.answers.reading().with_turn("looking at the query", move |_| {
            let fail = |error| Problem::of(&error, "looking at the query", trust == Trust::Guest);
            let described = host.reader().map_err(fail)?.describe(&sql, trust, role.as_deref());
            let reads = described.map_err(fail)?.reads;
            let tables = host.tables().map_err(fail)?;
            let without =
                tables.iter().filter(|table| !table.layout.history).map(|table| &table.layout.target);
            Ok(!without.into_iter().any(|table| {
                reads.iter().any(|read| {
                    read.schema.eq_ignore_ascii_case(&table.schema)
                        && read.name.eq_ignore_ascii_case(&table.name)
                })
            }))
        });
        told.await.unwrap_or(false)
    }
}

pub(super) fn router(site: Arc<Site>) -> Router {
    let shielded = site.clone();
    Router::new()
        .fallback(answer)
        .layer(middleware::from_fn(move |request, next| shield::guard(shielded.clone(), request, next)))
        .with_state(site)
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let began = std::time::Instant::now();
    let head = parts.method == Method::HEAD;
    let caller = identity::caller(site.host().access().as_ref(), &parts);
    let who = caller.as_ref().ok().cloned();
    let caller = caller.and_then(|caller| site.allows(&caller, parts.uri.path()).map(|()| caller));
    let (route, outcome) = match caller {
        _ if identity::answers(parts.uri.path()) => ("session", identity::answer(&site, &parts, body).await),
        Ok(caller) if console::answers(parts.uri.path()) => {
            site.within(&caller, console::answer(&site, &parts, body, &caller)).await
        }
        Ok(caller) => site.within(&caller, dispatch(&site, &parts, &caller)).await,
        Err(problem) => ("refused", Err(problem)),
    };
    let mut response = outcome.unwrap_or_else(Problem::into_response);
    // For the access log.
    if let Some(who) = who {
        response.extensions_mut().insert(Asker(who));
    }

    site.metrics.request(route, response.status(), began.elapsed());
    span::routed(route, &parts.method);
    // The answer of GET without its body; hyper keeps the headers.
    if head {
        return response.map(|_| Body::empty());
    }
    response
}

/// The route for the metrics, and the answer.
async fn dispatch(site: &Site, parts: &Parts, caller: &Caller) -> (&'static str, Result<Response, Problem>) {
    let path = parts.uri.path();
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    if !reads {
        return ("other", Err(Problem::method_not_allowed(&["GET", "HEAD"])));
    }
    match path {
        "/" => ("/", Ok(redirect("/ui"))),
        "/docs" => ("/docs", Ok(assets::docs())),
        "/openapi.json" => ("/openapi.json", description(site, caller).await),
        "/live" => ("/live", Ok(plain(StatusCode::OK, "live\n"))),
        "/ready" => ("/ready", Ok(ready(site))),
        "/metrics" => ("/metrics", metrics(site, caller).await),
        "/tables" | "/tables/" => ("/tables", tables::list(site, caller).await),
        _ if ui::answers(path) => ("/ui", ui::answer(parts)),
        _ => match path.strip_prefix("/tables/") {
            Some(rest) => {
                let (rest, format) = negotiate::suffix(rest);
                ("/tables/{schema}/{name}", tables::rows(site, rest, format, parts, caller).await)
            }
            None => match assets::asset(path) {
                Some(asset) => ("/docs", Ok(asset)),
                None => ("endpoint", endpoint(site, path, parts, caller).await),
            },
        },
    }
}

async fn endpoint(site: &Site, path: &str, parts: &Parts, caller: &Caller) -> Result<Response, Problem> {
    let endpoints = site.host().endpoints();
    // What somebody may not call is not there for them: they don't learn whether it is.
    let callable = endpoints.served.iter().filter(|endpoint| caller.may_call(endpoint));
    let find = |path: &str| callable.clone().find(|endpoint| endpoint.path == path);
    let (bare, format): (&str, Option<Format>) = match find(path) {
        Some(_) => (path, None),
        None => negotiate::suffix(path),
    };
    let Some(endpoint) = find(bare) else {
        // Endpoints are read behind the models, which they read.
        if !site.host().is_ready() {
            return Err(Problem::starting());
        }
        return Err(
            Problem::not_found(format!("nothing answers at {path}")).hint("GET /docs says what does.")
        );
    };
    span::routed(&endpoint.path, &parts.method);
    let sql: Arc<str> = Arc::from(endpoint.sql.as_str());
    if format.is_none() && negotiate::wants_events(endpoints::accept(parts)) {
        if !endpoint.live {
            return Err(Problem::not_acceptable(&Format::ALL.map(Format::essence).join(", "))
                .hint("Only an endpoint with `live: true` in its head sends events."));
        }
        let asked =
            endpoints::asked(endpoint, sql, &endpoints::given(parts), caller.role(), site.limits(caller))?;
        return site.live.listen(asked, caller.clone()).await;
    }
    endpoints::answer(site, endpoint, sql, format, parts, caller).await
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    let mut response = (status, text.into()).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn redirect(to: &'static str) -> Response {
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    response
}

/// Whether everything that was at the source at the start can be read.
fn ready(site: &Site) -> Response {
    let position: Lsn = site.host().applied().lsn;
    if site.host().is_ready() {
        plain(StatusCode::OK, format!("ready at {position}\n"))
    } else {
        plain(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: the first copy is on its way, at {position}\n"),
        )
    }
}

async fn description(site: &Site, caller: &Caller) -> Result<Response, Problem> {
    let host = site.host();
    let endpoints = host.endpoints();
    let role = caller.role_name().map(str::to_owned);
    let of = (host.applied().generation, role, caller.is_admin());
    let known = |described: &Option<Description>| {
        let described = described.as_ref()?;
        (described.of == of && Arc::ptr_eq(&described.endpoints, &endpoints)).then(|| described.text.clone())
    };
    let kept = known(&site.description.lock().unwrap_or_else(PoisonError::into_inner));
    let text = match kept {
        Some(text) => text,
        None => {
            let relations = tables::visible(site, caller).await?;
            let served = endpoints.served.iter().filter(|endpoint| caller.may_call(endpoint));
            let authenticated = host.access().is_some();
            let document =
                openapi::document(host.project(), served, &relations, authenticated, caller.is_admin());
            let text = Bytes::from(document.to_string());
            let described = Description { of, endpoints, text: text.clone() };
            *site.description.lock().unwrap_or_else(PoisonError::into_inner) = Some(described);
            text
        }
    };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn metrics(site: &Site, caller: &Caller) -> Result<Response, Problem> {
    caller.must_be_admin()?;
    let host = site.host().clone();
    let doing = "reading the status";
    let status = site
        .answers
        .reading()
        .with_turn(doing, move |_| host.status().map_err(|error| Problem::of(&error, doing, false)))
        .await?;
    let counts = site.answers.counts();
    let text =
        metrics::exposition(&status, &site.host().applied(), site.host().traced(), &site.metrics, counts);
    let mut response = plain(StatusCode::OK, text);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    Ok(response)
}
