//! The harness itself: a broker starts, works, restarts, and leaves nothing behind.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rivulet_tests::records::{self, Record};
use rivulet_tests::{Kafka, Process, Signal, wait};

#[test]
fn produced_records_are_consumed() {
    let brokers = Kafka::shared();
    let topic = format!("harness-{}", std::process::id());
    records::create_topic(brokers, &topic, 3);
    let sent: Vec<Record> = (0..30)
        .map(|n| {
            Record::of(format!("{{\"value\":{n}}}"))
                .key(format!("sensor-{}", n % 5))
                .with_header("n", n.to_string())
        })
        .collect();
    records::produce(brokers, &topic, &sent);
    let read = records::read(brokers, &topic, 30);
    assert_eq!(records::written(brokers, &topic), 30);
    let mut numbers: Vec<f64> = read.iter().map(Record::number).collect();
    numbers.sort_by(f64::total_cmp);
    assert!(
        numbers.iter().copied().eq((0..30).map(f64::from)),
        "{numbers:?}"
    );
    assert!(
        read.iter()
            .all(|record| record.header("n") == record.number().to_string())
    );
}

#[test]
fn a_killed_broker_restarts_with_its_records_and_is_removed() {
    let mut kafka = Kafka::prepare(&[("message.max.bytes", "2000000")]);
    kafka.run();
    records::create_topic(&kafka.brokers(), "t", 1);
    records::produce(&kafka.brokers(), "t", &[Record::of("1")]);
    kafka.kill();
    kafka.run();
    kafka.hang(Duration::from_millis(100));
    assert_eq!(records::read(&kafka.brokers(), "t", 1).len(), 1);
    let (folder, address) = (kafka.folder().to_owned(), kafka.brokers());
    assert!(folder.is_dir());
    drop(kafka);
    assert!(!folder.exists());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_process_has_output_and_obeys_signals() {
    let mut process = Process::start(
        "shell",
        Command::new("sh").args([
            "-c",
            "trap 'echo bye; exit 0' TERM; echo hello >&2; while :; do sleep 0.01; done",
        ]),
    );
    process.says(&["hello"]);
    process.signal(Signal::Stop);
    process.signal(Signal::Continue);
    process.stop();
    assert_eq!(
        (process.out().as_str(), process.err().as_str()),
        ("bye\n", "hello\n")
    );
    let mut failing = Process::start(
        "failing",
        Command::new("sh").args(["-c", "echo why >&2; exit 1"]),
    );
    assert_eq!(failing.fails(), "why\n");
}

#[test]
fn a_killed_test_process_leaves_nothing_behind() {
    let script = "echo $$ $RIVULET_TEST_BROKERS; exec sleep 1000";
    let mut killed = Process::start(
        "kafka",
        Command::new(env!("CARGO_BIN_EXE_kafka")).args(["sh", "-c", script]),
    );
    wait::until_true("the command starts", || killed.out().ends_with('\n'));
    let said = killed.out();
    let (pid, address) = said.trim().split_once(' ').expect("it prints both");
    assert!(TcpStream::connect(address).is_ok());
    killed.kill();
    wait::until_true("the broker is gone", || {
        TcpStream::connect(address).is_err()
    });
    wait::until_true("the command is gone", || {
        !Path::new("/proc").join(pid).exists()
    });
}
