//! Server-Sent Events: from a commit at the source to the message that shows it, and what ten thousand listeners cost who hear nothing.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::latency::{application, rate, LOAD_WAIT_MAX, WARM_UP};
use super::Bench;
use crate::client::{Client, Events};
use crate::data;
use crate::error::{Error, Result};
use crate::probe::{Session, PROBE};
use crate::product::{Project, Up};
use crate::report::{thousands, Idle, Latency, Workload};
use crate::server::Server;

/// The endpoint that is listened to: its answer holds the probe's number beside what a dashboard would show.
const ENDPOINT: &str = "/*---\nlive: true\n---*/\n\
    SELECT (SELECT n FROM analytics.probe) AS n, status, count(*) AS orders FROM analytics.orders GROUP BY ALL ORDER BY ALL\n";
/// Pause between two commits of the probe.
const COMMIT_EVERY: Duration = Duration::from_millis(50);
/// Longer than this is no latency any more but a failure.
const SEEN_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long the listeners hear nothing before the memory is read; a beat is sent every 15 s.
const IDLE_WAIT: Duration = Duration::from_secs(20);
/// What idle listeners listen to: different questions, as different people do.
const QUESTIONS: [&str; 6] = [
    "/orders?status=open",
    "/orders?status=pending",
    "/orders/top?limit=3",
    "/orders/top?limit=10",
    "/orders/product",
    "/orders/customers?limit=5",
];

pub(super) fn run(bench: &Bench, directory: &Path, workload: &mut Workload) -> Result<()> {
    let (orders, seconds) = (bench.scale.serve_orders, bench.scale.live_seconds);
    let listeners = bench.scale.idle_listeners;
    workload.title = format!(
        "A live endpoint that counts {} orders by status, listened to by one client: a session commits a number at the source, and the time \
         runs until a message shows it; for {seconds} s on an idle source, then for as long beside the load of `serve`. Then {} clients \
         listen to {} questions about an idle source for {} s.",
        thousands(orders as f64),
        thousands(listeners as f64),
        QUESTIONS.len(),
        IDLE_WAIT.as_secs(),
    );
    let server = Server::start()?;
    server.fill_finance(orders)?;
    server.fill(&format!("SET search_path = operations; {PROBE}"))?;
    let script = directory.join("load.sql");
    std::fs::write(&script, data::finance_load(orders)).map_err(Error::during(script.display()))?;
    let project = bench.product.finance(directory, &server)?;
    project.add_endpoint("probe", ENDPOINT)?;
    project.catch_up()?;
    for (what, loaded) in
        [("a changed message, idle source", false), ("a changed message, beside the load", true)]
    {
        let mut up = project.up()?;
        let mut busy = loaded
            .then(|| application(&server, directory, &script, seconds + WARM_UP.as_secs()))
            .transpose()?;
        let samples = listen(&server, &project, &mut up, seconds)?;
        let transactions_per_second = match &mut busy {
            Some(load) => {
                load.finish(LOAD_WAIT_MAX)?;
                rate(&load.stdout())?
            }
            None => samples.len() as f64 / seconds as f64,
        };
        workload.latencies.push(Latency::new(what, samples, transactions_per_second, up.stop()?));
    }
    workload.idle = Some(idle(&project, listeners)?);
    Ok(())
}

fn listen(server: &Server, project: &Project, up: &mut Up, seconds: u64) -> Result<Vec<f64>> {
    let mut session = Session::open(server)?;
    let mut events = Client::connect(project.http()?)?.listen("/probe")?;
    let began = Instant::now();
    let (mut samples, mut number) = (Vec::new(), 0_u64);
    // Numbers go on where the run before has ended.
    let first = server.number("SELECT n FROM operations.probe")?;
    while began.elapsed() < WARM_UP + Duration::from_secs(seconds) {
        number += 1;
        session.commit(&format!("UPDATE operations.probe SET n = {} WHERE id = 1;", first + number))?;
        let committed = Instant::now();
        while seen(&mut events)? < first + number {
            if committed.elapsed() > SEEN_WAIT_MAX {
                return Err(Error::new(format!("no message showed a commit for {SEEN_WAIT_MAX:?}")));
            }
        }
        if began.elapsed() > WARM_UP {
            samples.push(committed.elapsed().as_secs_f64() * 1e3);
        }
        up.check()?;
        sleep(COMMIT_EVERY);
    }
    Ok(samples)
}

/// The number that the next message shows.
fn seen(events: &mut Events) -> Result<u64> {
    let text = events.next()?;
    let rows: serde_json::Value =
        serde_json::from_str(&text).map_err(Error::during(format!("a message said `{text}`")))?;
    rows[0]["n"].as_u64().ok_or_else(|| Error::new(format!("a message without the number: {text}")))
}

fn idle(project: &Project, listeners: usize) -> Result<Idle> {
    let mut up = project.up()?;
    // The first answers of all questions are not what listeners cost.
    for question in QUESTIONS {
        Client::connect(project.http()?)?.listen(question)?;
    }
    let rss_before_bytes = up.rss_bytes();
    let mut events = Vec::with_capacity(listeners);
    for number in 0..listeners {
        events.push(Client::connect(project.http()?)?.listen(QUESTIONS[number % QUESTIONS.len()])?);
        if number % 500 == 0 {
            up.check()?;
        }
    }
    sleep(IDLE_WAIT);
    let rss_bytes = up.rss_bytes();
    up.check()?;
    drop(events);
    up.stop()?;
    Ok(Idle { connections: listeners as u64, rss_before_bytes, rss_bytes })
}
