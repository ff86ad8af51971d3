//! Which threads go before others where processors are scarce. On Linux `nice` is a thread's own.
//!
//! Giving way needs no right. Going first does: CAP_SYS_NICE, or a limit such as a service's `LimitNICE=-10`. Where the program has neither, its threads
//! wait for a processor like everybody else's, and what they bring is later for it.

use std::cell::Cell;

/// How much threads that read for requests give way: what they read is late if apply is, so a flood of requests must not take the processors from it.
pub const READS: i32 = 10;

/// How much threads go first that only speak with clients: some ten microseconds for an answer that is kept, for which a client waits. No more than apply, which
/// a flood of requests must not keep from a processor.
pub const CLIENTS: i32 = -5;

/// How much apply goes first: all that is read is as old as it is late. Behind the thread that brings results forward, which takes a third of a
/// processor at most, while apply takes a whole one as long as it has to catch up.
pub const APPLY: i32 = -5;

/// How much capture goes first: what it has not brought can't be applied, and it takes a tenth of a processor beside a busy source.
pub const CAPTURE: i32 = APPLY;

/// How much the thread goes first that brings results forward: a round of 15 ms takes three times as long on the clock where the processors are busy, and
/// the answers of everybody who asks wait for it.
pub const FOLLOW: i32 = -10;

/// Gives the calling thread a priority, where it may have it. `who` says which thread that is, for the log.
pub fn set(nice: i32, who: &'static str) {
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::debug!(
            event = "priority_kept",
            error = error.to_string(),
            nice,
            who,
            "a thread has the priority of all others"
        );
    }
}

thread_local! {
    static IS_SET: Cell<bool> = const { Cell::new(false) };
}

/// The same, once in a thread's life: for threads of others, which are met as they come.
pub fn set_once(nice: i32, who: &'static str) {
    if !IS_SET.replace(true) {
        set(nice, who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_the_threads_own() {
        let of_this = || rustix::process::getpriority_process(None).unwrap();
        let before = of_this();
        let given = std::thread::spawn(move || {
            set(before + 3, "test");
            of_this()
        });
        assert_eq!((given.join().unwrap(), of_this()), (before + 3, before));
    }
}
