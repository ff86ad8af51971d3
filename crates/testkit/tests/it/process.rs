//! A watched process: its lines are seen as they come, and signals do what they say.

use std::process::Command;
use std::time::Duration;

use millstream_testkit::{ended_by, wait_until, PgCluster, Process};

const PLENTY: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Process::spawn(command).unwrap()
}

#[test]
fn a_line_is_waited_for_on_either_output() {
    let mut process = shell("echo one; echo two >&2; sleep 60");
    assert_eq!(process.wait_for_line("wo", PLENTY).unwrap(), "two");
    assert_eq!(process.wait_for_line("one", PLENTY).unwrap(), "one");
    let missing = process.wait_for_line("three", Duration::from_millis(50)).unwrap_err();
    assert!(missing.to_string().contains("one"), "the message shows the output: {missing}");
    assert!(ended_by(process.kill().unwrap(), 9));
}

#[test]
fn waiting_for_a_line_ends_with_the_process() {
    let mut process = shell("echo gone; exit 3");
    assert!(process.wait_for_line("never", PLENTY).is_err());
    assert_eq!(process.wait(PLENTY).unwrap().code(), Some(3));
    assert_eq!(process.stdout(), "gone");
}

#[test]
fn a_frozen_process_does_nothing_until_it_is_thawed() {
    let mut process = shell("while :; do echo tick; sleep 0.01; done");
    process.wait_for_line("tick", PLENTY).unwrap();
    process.freeze().unwrap();
    let stat = format!("/proc/{}/stat", process.pid());
    wait_until("the stop to take effect", PLENTY, || {
        std::fs::read_to_string(&stat).unwrap().contains(") T ").then_some(())
    })
    .unwrap();
    process.thaw().unwrap();
    assert!(process.peak_rss_bytes().unwrap() > 0);
    let before = process.stdout().len();
    wait_until("another tick", PLENTY, || (process.stdout().len() > before).then_some(())).unwrap();
}

/// The test binary runs itself: the inner run starts a cluster and is killed, the outer one looks for what is left.
#[test]
fn a_cluster_ends_with_its_owner_even_by_sigkill() {
    const INNER: &str = "MILLSTREAM_TESTKIT_INNER";
    if std::env::var_os(INNER).is_some() {
        let cluster = PgCluster::start_default().unwrap();
        println!("cluster {} {}", cluster.pid().unwrap(), cluster.data_dir().parent().unwrap().display());
        std::thread::sleep(PLENTY);
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "process::a_cluster_ends_with_its_owner_even_by_sigkill", "--nocapture"])
        .env(INNER, "1");
    let mut inner = Process::spawn(command).unwrap();
    let line = inner.wait_for_line("cluster ", PLENTY).unwrap();
    let mut words = line.split_whitespace().skip_while(|word| *word != "cluster").skip(1);
    let (pid, directory) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    inner.kill().unwrap();
    wait_until("the orphaned server to end", PLENTY, || {
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    })
    .unwrap();
    // The next cluster of anybody sweeps up.
    let _cluster = PgCluster::start_default().unwrap();
    assert!(!std::path::Path::new(&directory).exists());
}
