//! The endpoints of the finance example under a live source: how many requests a second, how late, and how old the answers are, beside a
//! FastAPI service that asks the source's own tables.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::latency::{application, rate, LOAD_WAIT_MAX, TRANSACTIONS_PER_SECOND, WARM_UP};
use super::Bench;
use crate::child::Child;
use crate::client::{position, Connection};
use crate::data;
use crate::error::{Error, Result};
use crate::fastapi::FastApi;
use crate::instrument;
use crate::probe::Session;
use crate::report::{percentile, thousands, Requests, Workload, FASTAPI, MILLSTREAM};
use crate::server::Server;

/// Connections of the closed loop, and of the paced one.
const CONNECTIONS: u32 = 32;
const WRK_THREADS: u32 = 2;
/// How often the source is asked how far it is: the age of an answer is too large by so much at most.
const POSITION_EVERY: Duration = Duration::from_millis(5);
/// Requests a second beside the closed loop that look how old its answers are.
const SAMPLES_PER_SECOND: f64 = 50.0;
const SAMPLE_CONNECTIONS: u32 = 2;
/// wrk ends by itself.
const WRK_WAIT_MAX: Duration = Duration::from_secs(10 * 60);

pub(super) fn run(bench: &Bench, directory: &Path, workload: &mut Workload) -> Result<()> {
    let orders = bench.scale.serve_orders;
    let seconds = bench.scale.serve_seconds;
    workload.title = format!(
        "The four endpoints of the finance example, with parameters by chance, while {} transactions a second arrive: {} orders and their \
         items at the source, one transaction in five a new order, the others an order's next status. At most: wrk with {CONNECTIONS} \
         connections for {seconds} s. Paced: half of its own maximum, each request's time counted from when it was due. Age: how long \
         before the answer the first commit was made that is not in it, by the position that the answer names.",
        thousands(TRANSACTIONS_PER_SECOND as f64),
        thousands(orders as f64),
    );
    let server = Server::start()?;
    server.fill_finance(orders)?;
    let load = directory.join("load.sql");
    std::fs::write(&load, data::finance_load(orders)).map_err(Error::during(load.display()))?;
    let run = Run { server: &server, directory, load: &load, seconds };

    match FastApi::prepare() {
        Ok(fastapi) => {
            let service = fastapi.start(directory, &server)?;
            workload.requests.push(run.measure(FASTAPI, &service.address.clone(), || Ok(()))?.reference());
            service.stop()?;
        }
        Err(why) => {
            eprintln!("without FastAPI: {why}");
            workload.notes.push(format!("Without FastAPI: {why}."));
        }
    }

    let project = bench.product.finance(directory, &server)?;
    project.catch_up()?;
    let mut up = project.up()?;
    let address = project.http()?.to_owned();
    let mut requests = run.measure(MILLSTREAM, &address, || up.check())?;
    let taken = up.stop()?;
    requests.rss_peak_bytes = Some(taken.rss_peak_bytes);
    workload.requests.push(requests);
    // What was served came from a whole copy.
    let source = server.number("SELECT count(*) FROM operations.order_items")?;
    project.catch_up()?;
    project.expect(("SELECT count(*) AS n FROM analytics.order_items", source))
}

struct Run<'a> {
    server: &'a Server,
    directory: &'a Path,
    load: &'a Path,
    seconds: u64,
}

impl Run<'_> {
    fn measure(
        &self,
        consumer: &str,
        address: &str,
        mut alive: impl FnMut() -> Result<()>,
    ) -> Result<Requests> {
        let warm_up = WARM_UP.as_secs();
        // Two loops, each with what comes before it and what is late in it.
        let mut load = application(self.server, self.directory, self.load, 2 * (self.seconds + 3 * warm_up))?;
        let positions = Positions::watch(self.server)?;
        thread::sleep(WARM_UP);
        let sampler = {
            let (address, seconds) = (address.to_owned(), self.seconds);
            thread::spawn(move || paced(&address, SAMPLES_PER_SECOND, SAMPLE_CONNECTIONS, seconds))
        };
        let most = wrk(self.directory, address, self.seconds)?;
        alive()?;
        let sampled = joined(sampler)??.asked;
        thread::sleep(WARM_UP);
        let Paced { asked: half, unasked } =
            paced(address, most.per_second / 2.0, CONNECTIONS, self.seconds)?;
        alive()?;
        load.finish(LOAD_WAIT_MAX)?;
        let known = positions.stop()?;
        let ages = |asked: &[Asked]| -> Vec<f64> {
            let mut ages: Vec<f64> = asked.iter().filter_map(|asked| asked.age_ms(&known)).collect();
            ages.sort_by(f64::total_cmp);
            ages
        };
        let mut times: Vec<f64> = half.iter().map(|asked| asked.time_ms).collect();
        times.sort_by(f64::total_cmp);
        let mut late: Vec<f64> = half.iter().map(|asked| asked.sent_late_ms).collect();
        late.sort_by(f64::total_cmp);
        let (ages_most, ages_half) = (ages(&sampled), ages(&half));
        let wrong = half.iter().chain(&sampled).filter(|asked| !asked.right).count() as u64;
        let failed = most.failed + wrong + unasked;
        Ok(Requests {
            consumer: consumer.to_owned(),
            reference: false,
            per_second: most.per_second,
            ratio: None,
            p99_ms_at_most: most.p99_ms,
            paced_per_second: half.len() as f64 / self.seconds as f64,
            p50_ms: percentile(&times, 0.5),
            p99_ms: percentile(&times, 0.99),
            sent_late_p99_ms: percentile(&late, 0.99),
            age_ms: (!ages_half.is_empty()).then(|| {
                let max = |ages: &[f64]| ages.last().copied().unwrap_or(f64::NAN);
                [percentile(&ages_half, 0.5), percentile(&ages_half, 0.99), max(&ages_half), max(&ages_most)]
            }),
            failed,
            transactions_per_second: rate(&load.stdout())?,
            rss_peak_bytes: None,
        })
    }
}

struct Most {
    per_second: f64,
    p99_ms: f64,
    failed: u64,
}

/// What a closed loop reaches.
fn wrk(directory: &Path, address: &str, seconds: u64) -> Result<Most> {
    let mut command = Command::new("wrk");
    command.args(["-t", &WRK_THREADS.to_string(), "-c", &CONNECTIONS.to_string()]);
    // A slow service is slow, not broken.
    command.args(["-d", &format!("{seconds}s"), "--timeout", "30s", "-s", "bench/wrk/finance.lua"]);
    command.arg(format!("http://{address}"));
    let mut child = Child::spawn(command, "wrk", directory)
        .map_err(|error| Error::new(format!("{error} (Debian: wrk)")))?;
    child.finish(WRK_WAIT_MAX)?;
    let said = child.stdout();
    let line = said.lines().find(|line| line.starts_with("requests=")).unwrap_or_default();
    let value = |name: &str| {
        let found = line.split(' ').find_map(|word| word.strip_prefix(name)?.parse::<f64>().ok());
        found.ok_or_else(|| Error::new(format!("wrk said `{said}`")))
    };
    Ok(Most {
        per_second: value("requests=")? / value("microseconds=")? * 1e6,
        p99_ms: value("p99=")? / 1e3,
        failed: (value("refused=")? + value("broken=")? + value("late=")?) as u64,
    })
}

/// One request of the paced loop.
struct Asked {
    answered: Instant,
    time_ms: f64,
    /// How much of that time the client itself was late with the question.
    sent_late_ms: f64,
    position: Option<u64>,
    right: bool,
}

impl Asked {
    /// How old the answer was: `known` are moments at which everything committed lay at or before a position.
    fn age_ms(&self, known: &[(Instant, u64)]) -> Option<f64> {
        let position = self.position?;
        let whole = known[..known.partition_point(|(_, lsn)| *lsn <= position)].last()?;
        Some(self.answered.saturating_duration_since(whole.0).as_secs_f64() * 1e3)
    }
}

/// What became of the paced loop.
struct Paced {
    asked: Vec<Asked>,
    /// Requests that were so late that the loop was over.
    unasked: u64,
}

/// Requests at a fixed rate, whatever becomes of the ones before: what has to wait for them has waited. What could not be asked until
/// [`WARM_UP`] after the end is not asked any more: the load would be over as well.
fn paced(address: &str, per_second: f64, connections: u32, seconds: u64) -> Result<Paced> {
    let (address, count) = (address.to_owned(), (per_second * seconds as f64) as u32);
    let clients = thread::spawn(move || {
        instrument::go_first();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::during("starting the clients"))?;
        runtime.block_on(async move {
            let began = Instant::now();
            let pace = Pace {
                began,
                end: began + Duration::from_secs(seconds) + WARM_UP,
                interval: Duration::from_secs_f64(1.0 / per_second),
                count,
            };
            let mut clients = JoinSet::new();
            for first in 0..connections {
                let address = address.clone();
                clients.spawn(async move { pace.ask(&address, first, connections).await });
            }
            let mut asked = Vec::with_capacity(count as usize);
            while let Some(client) = clients.join_next().await {
                asked.extend(client.map_err(|_| Error::new("a client panicked"))??);
            }
            Ok::<_, Error>(asked)
        })
    });
    let asked = joined(clients)??;
    let unasked = u64::from(count) - asked.len() as u64;
    Ok(Paced { asked, unasked })
}

/// When what is asked.
#[derive(Clone, Copy)]
struct Pace {
    began: Instant,
    end: Instant,
    interval: Duration,
    count: u32,
}

impl Pace {
    /// Asks for the first, and each so many further on, over one connection.
    async fn ask(self, address: &str, first: u32, connections: u32) -> Result<Vec<Asked>> {
        let mut connection = Connection::open(address).await?;
        let mut chance = Chance(u64::from(first) + 1);
        let mut asked = Vec::new();
        for number in (first..self.count).step_by(connections as usize) {
            if Instant::now() > self.end {
                break;
            }
            let due = self.began + self.interval * number;
            // The connection is free from here on: what is late behind it is the client's own doing.
            let free = Instant::now().max(due);
            tokio::time::sleep_until(due.into()).await;
            let late = free.elapsed();
            let answer = connection.get(&chance.path()).await?;
            let answered = Instant::now();
            asked.push(Asked {
                answered,
                time_ms: answered.saturating_duration_since(due).as_secs_f64() * 1e3,
                sent_late_ms: late.as_secs_f64() * 1e3,
                position: answer.position,
                right: answer.status == 200 && answer.body.starts_with(b"["),
            });
        }
        Ok(asked)
    }
}

fn joined<T>(thread: JoinHandle<T>) -> Result<T> {
    thread.join().map_err(|_| Error::new("a client panicked"))
}

/// Paths by chance, as bench/wrk/finance.lua asks for them.
struct Chance(u64);

impl Chance {
    const STATUSES: [&str; 6] = ["open", "pending", "processing", "completed", "cancelled", "all"];

    /// One of `0..n`.
    fn below(&mut self, n: u64) -> u64 {
        // Knuth's MMIX generator; its high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn path(&mut self) -> String {
        match self.below(4) {
            0 => format!("/orders?status={}", Self::STATUSES[self.below(6) as usize]),
            1 => format!("/orders/top?limit={}", 1 + self.below(100)),
            2 => "/orders/product".to_owned(),
            _ => {
                let status = Self::STATUSES[self.below(5) as usize];
                format!("/orders/customers?status={status}&limit={}", 1 + self.below(100))
            }
        }
    }
}

/// How far the source was at which moment.
struct Positions {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<(Instant, u64)>>>,
}

impl Positions {
    fn watch(server: &Server) -> Result<Self> {
        let mut session = Session::open(server)?;
        session.go_first()?;
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let thread = thread::spawn(move || {
            instrument::go_first();
            let mut known = Vec::new();
            while !end.load(Ordering::Relaxed) {
                // Before the question: what is committed meanwhile makes an answer older than it was, never younger.
                let asked = Instant::now();
                let line = session.ask("SELECT pg_current_wal_flush_lsn();")?;
                let lsn = position(&line).ok_or_else(|| Error::new(format!("the source said `{line}`")))?;
                known.push((asked, lsn));
                thread::sleep(POSITION_EVERY);
            }
            Ok(known)
        });
        Ok(Self { ended, thread })
    }

    fn stop(self) -> Result<Vec<(Instant, u64)>> {
        self.ended.store(true, Ordering::Relaxed);
        joined(self.thread)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_old_as_the_last_moment_it_holds_everything_of() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let known = [(at(0), 100), (at(10), 200), (at(20), 200), (at(30), 300)];
        let age = |position| {
            Asked { answered: at(50), time_ms: 0.0, sent_late_ms: 0.0, position, right: true }.age_ms(&known)
        };
        assert_eq!(age(Some(250)), Some(30.0));
        assert_eq!(age(Some(300)), Some(20.0));
        assert_eq!(age(Some(99)), None);
        assert_eq!(age(None), None);
    }

    #[test]
    fn all_paths_come_up() {
        let mut chance = Chance(1);
        let paths: std::collections::HashSet<String> = (0..10_000).map(|_| chance.path()).collect();
        // Six of the first, a hundred of the second, one, and five hundred.
        assert!(paths.len() > 550 && paths.len() <= 607, "{}", paths.len());
    }
}
