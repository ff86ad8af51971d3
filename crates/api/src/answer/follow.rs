//! Answers from results that follow the changes: for statements that can be followed, and are asked often enough to be worth it.
//!
//! One thread does all of it, one question behind the other: they share what has changed. It has the priority of apply, unlike those that serve
//! requests, for everybody's answers are as old as it is late.

use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc, Arc, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant},
};

use millstream_core::{Maintained, Maintainer, Trust};
use tokio::sync::oneshot;

use super::read::{cut, Asked, Read};
use crate::host::Host;

/// A statement that is read so often within [`WORTH_WITHIN`] is followed from then on.
const WORTH_READS: u32 = 3;
const WORTH_WITHIN: Duration = Duration::from_secs(10);

/// How long nobody tries to follow a statement again that could not be.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Statements that reads are counted of. A project's own are few; the count begins anew where they are more.
const STATEMENTS_MAX: usize = 1_024;

/// What became of a statement.
enum Standing {
    /// It was read so often since then.
    Read { times: u32, since: Instant },
    /// It is followed, as far as is known here.
    Followed,
    /// It can't be, or nobody knows yet whether it can.
    Refused { until: Instant },
}

/// What the thread is asked for.
enum Order {
    /// To begin to follow a statement.
    Follow(Arc<str>),
    /// An answer no older than a moment.
    Answer { asked: Asked, since: Instant, to: oneshot::Sender<Option<Maintained>> },
}

/// The statements that are followed.
pub(super) struct Following {
    host: Arc<dyn Host>,
    orders: mpsc::Sender<Order>,
    statements: Arc<Statements>,
}

#[derive(Default)]
struct Statements {
    standing: Mutex<HashMap<Arc<str>, Standing>>,
    /// Whether a statement's tables are being read for the first time, which may take seconds: nobody waits for that.
    building: AtomicBool,
}

impl Following {
    /// Of a program. The thread ends with what is returned.
    pub(super) fn new(host: Arc<dyn Host>) -> Self {
        let (orders, taken) = mpsc::channel();
        let statements = Arc::new(Statements::default());
        let (for_host, for_statements) = (host.clone(), statements.clone());
        let work =
            move || Follower { host: for_host, maintainer: None, statements: for_statements }.work(&taken);
        if let Err(error) = std::thread::Builder::new().name("follow".into()).spawn(work) {
            // Nobody takes orders, and readers answer everything.
            tracing::warn!(
                event = "not_followed",
                error = error.to_string(),
                "no thread for results that follow the changes"
            );
        }
        Following { host, orders, statements }
    }

    /// The answer from what is kept, no older than `since`, and when it was all there was; `None`: the statement has to be read.
    pub(super) async fn answer(&self, asked: &Asked, since: Instant) -> Option<(Read, Instant)> {
        // Whoever may see less sees other sums.
        let restricted = asked.role.as_ref().is_some_and(|role| role.restricted);
        if asked.trust != Trust::Owner || asked.as_of.is_some() || restricted {
            return None;
        }
        if self.statements.building.load(Ordering::Acquire) {
            return None;
        }
        match self.statements.count(&asked.sql) {
            Worth::Followed => {}
            Worth::Following => {
                let _ = self.orders.send(Order::Follow(asked.sql.clone()));
                return None;
            }
            Worth::Reading => return None,
        }
        let (to, answered) = oneshot::channel();
        self.orders.send(Order::Answer { asked: asked.clone(), since, to }).ok()?;
        let Maintained { result, position, at } = answered.await.ok()??;
        // A read says that it is too much.
        let mut room = asked.room();
        if !result.batches.iter().all(|batch| room.takes(batch)) {
            return None;
        }
        let (result, more) = cut(result, asked.page);
        Some((Read { result, more, position: position.max(self.host.applied().since) }, at))
    }
}

/// What a statement is worth.
enum Worth {
    Reading,
    Following,
    Followed,
}

impl Statements {
    fn standing(&self) -> MutexGuard<'_, HashMap<Arc<str>, Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts that a statement is wanted.
    fn count(&self, sql: &Arc<str>) -> Worth {
        let now = Instant::now();
        let mut statements = self.standing();
        if statements.len() >= STATEMENTS_MAX && !statements.contains_key(sql) {
            statements.clear();
        }
        let standing = statements.entry(sql.clone()).or_insert(Standing::Read { times: 0, since: now });
        match standing {
            Standing::Followed => Worth::Followed,
            Standing::Refused { until } if now < *until => Worth::Reading,
            Standing::Read { times, since } if now.duration_since(*since) < WORTH_WITHIN => {
                *times += 1;
                if *times < WORTH_READS || self.building.swap(true, Ordering::AcqRel) {
                    return Worth::Reading;
                }
                *standing = Standing::Refused { until: now + REFUSED_FOR };
                Worth::Following
            }
            Standing::Read { .. } | Standing::Refused { .. } => {
                *standing = Standing::Read { times: 1, since: now };
                Worth::Reading
            }
        }
    }
}

struct Follower {
    host: Arc<dyn Host>,
    /// None before the first statement is worth following.
    maintainer: Option<Box<dyn Maintainer>>,
    statements: Arc<Statements>,
}

impl Follower {
    fn work(mut self, orders: &mpsc::Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Follow(sql) => {
                    if self.follow(&sql) {
                        self.statements.standing().insert(sql, Standing::Followed);
                    }
                    self.statements.building.store(false, Ordering::Release);
                }
                // Whoever went away meanwhile leaves its question to the next one who asks.
                Order::Answer { to, .. } if to.is_closed() => {}
                Order::Answer { asked, since, to } => {
                    let answer = self.answer(&asked, since);
                    if answer.is_none() {
                        self.statements.standing().remove(&asked.sql);
                    }
                    let _ = to.send(answer);
                }
            }
        }
    }

    fn follow(&mut self, sql: &str) -> bool {
        let began = Instant::now();
        let followed = match &mut self.maintainer {
            Some(maintainer) => maintainer.follow(sql),
            none => match self.host.maintainer() {
                Ok(Some(made)) => none.insert(made).follow(sql),
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            },
        };
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match followed {
            Ok(followed) => {
                tracing::debug!(
                    event = "followed",
                    followed,
                    milliseconds,
                    sql,
                    "whether a statement's result follows its tables' changes now"
                );
                followed
            }
            Err(error) => {
                tracing::debug!(
                    event = "not_followed",
                    error = error.to_string(),
                    "a statement's changes can't be followed"
                );
                false
            }
        }
    }

    fn answer(&mut self, asked: &Asked, since: Instant) -> Option<Maintained> {
        // A reader says what is wrong with it, if anything is.
        self.maintainer.as_mut()?.answer(&asked.query(), since).unwrap_or_else(|error| {
            tracing::debug!(
                event = "not_followed",
                error = error.to_string(),
                "a statement's changes can't be followed"
            );
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_worth_following_once_it_is_read_often_and_one_at_a_time_is_begun() {
        let statements = Statements::default();
        let [one, two]: [Arc<str>; 2] = ["SELECT 1".into(), "SELECT 2".into()];
        for _ in 1..WORTH_READS {
            assert!(matches!(statements.count(&one), Worth::Reading));
            assert!(matches!(statements.count(&two), Worth::Reading));
        }
        assert!(matches!(statements.count(&one), Worth::Following));
        assert!(matches!(statements.count(&one), Worth::Reading), "it is not there yet");
        assert!(matches!(statements.count(&two), Worth::Reading), "the other is being read");
        statements.building.store(false, Ordering::Release);
        statements.standing().insert(one.clone(), Standing::Followed);
        assert!(matches!(statements.count(&one), Worth::Followed));
        assert!(matches!(statements.count(&two), Worth::Following));
    }
}
