//! Answers that are ready before they are asked for: those to questions that were asked lately, of results that are brought forward by themselves.
//!
//! The thread that brings results forward is busy for tens of milliseconds at a time where processors are scarce. If it were asked for each answer, whoever
//! asks behind one round would wait for the next one. So it makes the answers to what was asked lately behind each round, and nobody has to ask it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use millstream_core::{Maintained, Unbroken};

use super::read::Asked;

/// How long behind its last use a question is answered behind each round.
pub(super) const WANTED_FOR: Duration = Duration::from_secs(1);

/// Questions that are answered so, and the memory of one answer's rows, in bytes: together 16 MiB at most. What is beyond them is asked for each time.
const QUESTIONS_MAX: usize = 64;
const BYTES_MAX: usize = 256 * 1024;

/// An answer that is ready.
struct One {
    asked: Asked,
    /// When somebody wanted it last.
    wanted: Instant,
    answer: Maintained,
    unbroken: Unbroken,
}

/// The answers that are ready.
#[derive(Default)]
pub(super) struct Ready(Mutex<Vec<One>>);

/// Whether two questions have the same answer. Whoever may see less than there is gets no answers from here.
fn is_same(one: &Asked, other: &Asked) -> bool {
    one.page.rows_max() == other.page.rows_max() && one.sql == other.sql && one.parameters == other.parameters
}

impl Ready {
    fn all(&self) -> MutexGuard<'_, Vec<One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a question, where one is ready that is no older than `since`.
    pub(super) fn take(&self, asked: &Asked, since: Instant, now: Instant) -> Option<Maintained> {
        let mut all = self.all();
        let one = all.iter_mut().find(|one| is_same(&one.asked, asked))?;
        one.wanted = now;
        (one.answer.at >= since && one.unbroken.is_so()).then(|| one.answer.clone())
    }

    /// Has an answer ready that somebody wanted, as long as that was.
    pub(super) fn put(&self, asked: &Asked, wanted: Instant, answer: Maintained, unbroken: Unbroken) {
        let bytes: usize = answer.result.batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let is_put = answer.renews && bytes <= BYTES_MAX;
        let mut all = self.all();
        let known = all.iter().position(|one| is_same(&one.asked, asked));
        match known {
            Some(known) if is_put => (all[known].answer, all[known].unbroken) = (answer, unbroken),
            Some(known) => drop(all.swap_remove(known)),
            None if is_put && all.len() < QUESTIONS_MAX => {
                all.push(One { asked: asked.clone(), wanted, answer, unbroken });
            }
            None => {}
        }
    }

    /// The questions to answer behind a round: those that were wanted lately. The others are forgotten.
    pub(super) fn wanted(&self, now: Instant) -> Vec<Asked> {
        let mut all = self.all();
        all.retain(|one| now.saturating_duration_since(one.wanted) < WANTED_FOR);
        all.iter().map(|one| one.asked.clone()).collect()
    }

    /// When somebody wanted one of the answers last.
    pub(super) fn last_wanted(&self) -> Option<Instant> {
        self.all().iter().map(|one| one.wanted).max()
    }

    /// Forgets the answer to a question.
    pub(super) fn forget(&self, asked: &Asked) {
        self.all().retain(|one| !is_same(&one.asked, asked));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    };

    use millstream_core::{warehouse::QueryResult, Lsn, Parameter};

    use super::*;
    use crate::answer::Page;

    fn asked(status: &str) -> Asked {
        let parameters = vec![("status".into(), Parameter::Text(status.into()))];
        Asked { parameters, ..Asked::owners("SELECT $status") }
    }

    fn answer(at: Instant, position: u64) -> Maintained {
        let result = QueryResult { columns: Vec::new(), batches: Vec::new() };
        Maintained { result, position: Lsn(position), at, renews: true }
    }

    fn whole() -> Unbroken {
        Unbroken::new(|| true)
    }

    #[test]
    fn an_answer_is_given_to_the_same_question_while_it_is_young_and_nothing_broke() {
        let (ready, now, ms) = (Ready::default(), Instant::now(), Duration::from_millis);
        let is_whole = Arc::new(AtomicBool::new(true));
        let told = is_whole.clone();
        ready.put(&asked("open"), now, answer(now, 7), Unbroken::new(move || told.load(Ordering::Relaxed)));
        let take = |status, since| ready.take(&asked(status), since, now).map(|answer| answer.position);
        assert_eq!(take("open", now), Some(Lsn(7)));
        assert_eq!(take("pending", now), None);
        let smaller = Asked { page: Page { offset: 0, limit: 3 }, ..asked("open") };
        assert!(ready.take(&smaller, now, now).is_none(), "it has fewer rows");
        assert_eq!(take("open", now + ms(1)), None, "it is older");
        is_whole.store(false, Ordering::Relaxed);
        assert_eq!(take("open", now), None, "a table was read again");
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_made_behind_each_round() {
        let (ready, now) = (Ready::default(), Instant::now());
        for status in ["open", "pending"] {
            ready.put(&asked(status), now, answer(now, 7), whole());
        }
        let half = now + WANTED_FOR / 2;
        assert!(ready.take(&asked("open"), now, half).is_some());
        let wanted = ready.wanted(now + WANTED_FOR);
        assert_eq!(wanted, [asked("open")]);
        // To have it made is not to want it.
        ready.put(&asked("open"), now + WANTED_FOR, answer(now + WANTED_FOR, 8), whole());
        assert_eq!(ready.last_wanted(), Some(half));
        assert_eq!(ready.wanted(half + WANTED_FOR), []);
    }

    #[test]
    fn there_is_room_for_so_many_and_for_what_renews_itself() {
        let (ready, now) = (Ready::default(), Instant::now());
        let number = |number: usize| asked(&number.to_string());
        for at in 0..=QUESTIONS_MAX {
            ready.put(&number(at), now, answer(now, 7), whole());
        }
        assert_eq!(ready.wanted(now).len(), QUESTIONS_MAX);
        ready.put(&number(0), now, Maintained { renews: false, ..answer(now, 8) }, whole());
        ready.forget(&number(1));
        assert_eq!(ready.wanted(now).len(), QUESTIONS_MAX - 2);
    }
}
