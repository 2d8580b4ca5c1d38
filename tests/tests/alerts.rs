//! Each alert of `monitoring/alerts.yml`, brought about once: real stages, a real Kafka, a real
//! Prometheus with the intervals that it has in a deployment. So it takes its time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{PipeReader, Read, Write};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rivulet_tests::chain::CONVERT;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{
    Certificate, Disk, Endpoint, PipelineBuilder, Process, Prometheus, Scenario, free_port, wait,
};

const STEADY: &str = "{ simulated = { sensors = 10, rate = 200 } }";
/// A source that commits so seldom that it does not notice its successor.
const RARE: &str = "{ simulated = { sensors = 1, rate = 0.001 } }";
const CONSOLE: &str = "\"console\"";
/// Where no broker is.
const NOBODY: &str = "127.0.0.1:9";
/// The longest time from a fault to its alert.
const LONGEST: Duration = Duration::from_mins(20);

/// The processes that Prometheus watches, and what goes wrong with them.
struct Faulty {
    scenario: Scenario,
    prometheus: Prometheus,
    running: Vec<Process>,
    /// What processes print and nobody reads.
    unread: Vec<PipeReader>,
    /// The alerts that should be raised: the alert, the fault, when it was brought about.
    expected: Vec<(&'static str, String, Instant)>,
}

impl Faulty {
    fn watch(&mut self, name: &str, process: Process) {
        self.prometheus.watch(name, &Endpoint::of(&process));
        self.running.push(process);
    }

    /// Starts a stage that is watched.
    fn start(&mut self, name: &str, command: &mut Command) {
        let process = Process::start(name, command.args(["--metrics", "0"]));
        self.watch(name, process);
    }

    fn expect(&mut self, alert: &'static str, fault: &str) {
        self.expected
            .push((alert, fault.to_owned(), Instant::now()));
    }

    /// A sink on a disk that is full: nothing can be stored.
    fn full_disk(&mut self) {
        let disk = Disk::full(&self.scenario.path("disk"));
        let mut stage = disk.command(&self.scenario.stage("full", "a"));
        self.start("full", &mut stage);
        for alert in ["StageNotReady", "NoProgress", "Rollbacks", "DiskNearlyFull"] {
            self.expect(alert, "the disk of a sink is full");
        }
    }

    /// Starts a sink that is watched, and returns what it prints.
    fn printing(&mut self, name: &str) -> PipeReader {
        let (reader, writer) = std::io::pipe().expect("there are file descriptors left");
        let mut stage = self.scenario.stage(name, "a");
        let process = Process::start_onto(name, stage.args(["--metrics", "0"]), writer);
        self.watch(name, process);
        reader
    }

    /// A sink whose output nobody reads.
    fn hung(&mut self) {
        let unread = self.printing("hung");
        self.expect("LoopHangs", "the loop of a sink hangs in a write");
        self.unread.push(unread);
    }

    /// A sink whose output somebody reads at a fifth of the rate.
    fn slow(&mut self) {
        let mut printed = self.printing("slow");
        self.expect("LagGrows", "a sink is slower than its source");
        thread::spawn(move || {
            let mut part = [0; 200];
            while printed.read(&mut part).is_ok_and(|read| read > 0) {
                thread::sleep(Duration::from_millis(100));
            }
        });
    }

    /// A stage that is killed.
    fn down(&mut self) {
        let stage = &mut self.scenario.stage("down", "a");
        self.start("down", stage);
        self.prometheus.has_scraped("down");
        let mut down = self.running.pop().expect("it was just started");
        down.kill();
        self.expect("StageDown", "a stage is killed and stays down");
    }

    /// Records that are no readings.
    fn garbage(&mut self) {
        let stage = &mut self.scenario.stage("dead", "a");
        self.start("dead", stage);
        let topic = self.scenario.name("garbage");
        records::produce(self.scenario.brokers(), &topic, &[Record::of("no reading")]);
        self.expect("DeadLetters", "a record is no reading");
    }

    /// A source that yields more than its spool holds while there is no Kafka.
    fn spool(&mut self) {
        // A new spool waits for the position of its source, which is in Kafka.
        let (reader, mut writer) = std::io::pipe().expect("there are file descriptors left");
        let same = reader.try_clone().expect("it is a file descriptor");
        let mut first = self.scenario.start_on("attic", same);
        writeln!(writer, "0").expect("somebody reads it");
        wait::until_true("the first reading arrives", || {
            self.scenario.written("attic-celsius") >= 1
        });
        first.stop();
        let mut stage = self.scenario.stage_on(NOBODY, "attic", "a");
        stage.args(["--metrics", "0"]);
        let process = Process::start("attic", stage.stdin(reader));
        drop(stage);
        self.watch("attic", process);
        self.prometheus.has_scraped("attic");
        self.expect("SpoolDrops", "a spool is full");
        if rivulet_kernel_clock::is_synchronised() == Some(false) {
            self.expect("ClockNotSet", "the machine has no time server");
        }
        thread::spawn(move || {
            // Until the test has ended.
            for number in 0.. {
                if writeln!(writer, "{number}").is_err() {
                    return;
                }
            }
        });
    }

    /// One source on two hosts.
    fn two_sources(&mut self) {
        for instance in ["a", "b"] {
            let stage = &mut self.scenario.stage("rare", instance);
            self.start(&format!("rare-{instance}"), stage);
            self.prometheus.has_scraped(&format!("rare-{instance}"));
        }
        self.expect("TwoSources", "a source runs on two hosts");
        self.expect("SourceTakenOver", "a source was started on another host");
    }

    /// A certificate that is valid for three more days.
    fn certificate(&mut self) {
        let authority = Certificate::authority("rivulet");
        self.scenario
            .write("ca.pem", authority.sign("ca", [-1, 3]).pem());
        let settings = "security.protocol=ssl\nssl.ca.location=ca.pem\n";
        self.scenario.write("client.properties", settings);
        let mut stage = self.scenario.stage_on(NOBODY, "expires", "a");
        stage.args(["--command-config", "client.properties"]);
        self.start("expires", &mut stage);
        self.expect("CertificateExpires", "a certificate expires in three days");
    }

    /// A stage that is killed again and again. On a node it always has the same port.
    fn restarts(&mut self) {
        let port = free_port().to_string();
        self.expect("StageRestarts", "a stage is killed five times");
        for round in 0..6 {
            let mut stage = self.scenario.stage("again", "a");
            let mut again = Process::start("again", stage.args(["--metrics", &port]));
            if round == 0 {
                self.prometheus.watch("again", &Endpoint::of(&again));
            }
            self.prometheus.has_scraped_anew("again");
            if round < 5 {
                again.kill();
            } else {
                self.running.push(again);
            }
        }
    }
}

#[test]
#[ignore = "it takes a quarter of an hour: make test-alerts"]
fn each_alert_is_raised_by_its_fault() {
    let mut pipeline = PipelineBuilder::new()
        .producer("thermometers", STEADY, "celsius")
        .producer("rare", RARE, "seldom")
        .spooled_producer(
            "attic",
            "{ lines = { sensor = \"attic\" } }",
            "{ path = \"spool\", size = \"1 MB\", sync-ms = 100 }",
            "attic-celsius",
        )
        .topic("garbage", "external = true")
        .operator("dead", "garbage", CONVERT, "fahrenheit")
        .sink(
            "full",
            "celsius",
            "{ file = { path = \"disk/readings.jsonl\" } }",
        );
    for sink in ["hung", "slow", "down", "again", "expires"] {
        pipeline = pipeline.sink(sink, "celsius", CONSOLE);
    }
    let scenario = Scenario::new(pipeline);
    let mut faulty = Faulty {
        prometheus: Prometheus::start(),
        scenario,
        running: Vec::new(),
        unread: Vec::new(),
        expected: Vec::new(),
    };
    let mut source = faulty.scenario.start("thermometers");
    faulty.certificate();
    faulty.full_disk();
    faulty.hung();
    faulty.slow();
    faulty.garbage();
    faulty.spool();
    faulty.two_sources();
    faulty.down();
    faulty.restarts();

    let mut raised: BTreeMap<usize, Duration> = BTreeMap::new();
    let begun = Instant::now();
    while raised.len() < faulty.expected.len() && begun.elapsed() < LONGEST {
        let firing = faulty.prometheus.firing();
        for (index, (alert, _, since)) in faulty.expected.iter().enumerate() {
            if firing.iter().any(|firing| firing == alert) {
                raised.entry(index).or_insert_with(|| since.elapsed());
            }
        }
        thread::sleep(Duration::from_secs(1));
    }
    let mut table = String::new();
    for (index, (alert, fault, _)) in faulty.expected.iter().enumerate() {
        let after = raised
            .get(&index)
            .map_or("never".to_owned(), |after| format!("{} s", after.as_secs()));
        let _ = writeln!(table, "{alert:20} {after:>8}  {fault}");
    }
    println!("{table}");
    assert_eq!(raised.len(), faulty.expected.len(), "{table}");
    assert_eq!(
        faulty.prometheus.alerts(),
        alerts_expected(&faulty),
        "{table}"
    );
    source.stop();
}

/// The alerts that a fault is there for, and those that need more than a test has: a changelog that
/// takes five minutes, and a machine without a time server.
fn alerts_expected(faulty: &Faulty) -> Vec<String> {
    let expected = faulty.expected.iter().map(|(alert, ..)| *alert);
    let mut names: Vec<String> = expected
        .chain(["RestoreTooLong", "ClockNotSet"])
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
