//! A producer with a spool goes on taking readings while Kafka is away, and loses none of those
//! that it took, even if it is killed meanwhile.

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Write};
use std::ops::Range;
use std::path::PathBuf;

use tests::{Kafka, PipelineBuilder, Process, Scenario, wait};

const SOURCE: &str = "{ lines = { sensor = \"attic\" } }";

/// A producer of the lines that the test writes, on a broker that the test can kill.
struct Attic {
    kafka: Kafka,
    scenario: Scenario,
    /// Kept open, so that a killed process leaves in the pipe what it had not read.
    read: PipeReader,
    write: PipeWriter,
}

impl Attic {
    fn new(spool: &str) -> Self {
        let kafka = Kafka::start(&[]);
        let pipeline =
            PipelineBuilder::new().spooled_producer("attic", SOURCE, spool, "temperatures");
        let scenario = Scenario::on(kafka.brokers(), pipeline);
        scenario.create_topics();
        let (read, write) = std::io::pipe().unwrap();
        Attic {
            kafka,
            scenario,
            read,
            write,
        }
    }

    fn start(&self) -> Process {
        self.scenario
            .start_on("attic", self.read.try_clone().unwrap())
    }

    /// Writes these numbers as lines and waits until the spool took them, which is when they are
    /// safe.
    fn feed(&mut self, numbers: Range<u64>) {
        let end = numbers.end;
        // Many at a time: a pipe holds 64 KiB.
        for chunk in numbers.collect::<Vec<_>>().chunks(1000) {
            let lines: Vec<String> = chunk.iter().map(u64::to_string).collect();
            writeln!(self.write, "{}", lines.join("\n")).unwrap();
        }
        wait::until_so(&format!("the spool takes {end} readings"), || {
            self.taken() == end
        });
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.scenario.path("spool"))
            .into_iter()
            .flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|ending| ending == "spool"));
        files.sort();
        files
    }

    /// How many readings the spool says that the source has had: behind each batch on disk it notes
    /// the number of the next one, as text.
    fn taken(&self) -> u64 {
        const NOTE: &[u8] = b"{\"next\":{\"attic\":";
        // A file may be deleted while it is looked for.
        let content: Vec<u8> = self
            .files()
            .iter()
            .filter_map(|file| fs::read(file).ok())
            .flatten()
            .collect();
        let Some(at) = content.windows(NOTE.len()).rposition(|bytes| bytes == NOTE) else {
            return 0;
        };
        let digits = content[at + NOTE.len()..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    }
}

#[test]
fn what_comes_while_kafka_is_away_arrives_once_and_in_order() {
    let mut attic = Attic::new("{ path = \"spool\" }");
    let mut producer = attic.start();
    attic.feed(0..100);
    wait::until_so("they arrive", || {
        attic.scenario.written("temperatures") >= 100
    });
    // Some of these are sent, some are not, and of some nobody knows.
    attic.feed(100..600);
    attic.kafka.kill();
    attic.feed(600..700);
    producer.kill();
    // It starts without Kafka, and takes readings all the same.
    producer = attic.start();
    attic.feed(700..800);
    producer.kill();
    // The power was cut in the midst of a write.
    let last = attic.files().pop().unwrap();
    File::options()
        .append(true)
        .open(last)
        .unwrap()
        .write_all(b"\x2a\0\0\0half a record")
        .unwrap();
    producer = attic.start();
    producer.says(&["spool file truncated", "bytes=17"]);
    attic.feed(800..900);
    attic.kafka.run();
    wait::until_so("the rest arrives", || {
        attic.scenario.written("temperatures") >= 900
    });
    producer.kill();
    producer = attic.start();
    attic.feed(900..1000);
    let found = attic.scenario.values("temperatures", 1000);
    assert_eq!(found, (0..1000).map(f64::from).collect::<Vec<_>>());
    producer.stop();
    let letters = tests::records::written(
        attic.scenario.brokers(),
        &attic.scenario.dead_letters("attic"),
    );
    assert_eq!(letters, 0);
}

#[test]
fn a_full_spool_tells_what_it_loses() {
    let mut attic = Attic::new("{ path = \"spool\", size = \"1 MB\", sync-ms = 100 }");
    let mut producer = attic.start();
    attic.feed(0..10);
    wait::until_so("they arrive", || {
        attic.scenario.written("temperatures") >= 10
    });
    attic.kafka.kill();
    attic.feed(10..40_000);
    producer.says(&[
        "spool is full: dropping the oldest readings",
        "size=1000000",
    ]);
    attic.kafka.run();
    let letters = tests::records::read(
        attic.scenario.brokers(),
        &attic.scenario.dead_letters("attic"),
        1,
    );
    let lost: u64 = letters
        .iter()
        .map(|letter| {
            assert_eq!(letter.header("rivulet.reason"), "lost");
            letter
                .header("rivulet.error")
                .split(' ')
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    let found = attic
        .scenario
        .values("temperatures", 40_000 - usize::try_from(lost).unwrap());
    assert_eq!(found.len() as u64 + lost, 40_000);
    assert!(found.is_sorted_by(|one, next| one < next));
    assert_eq!(found.last(), Some(&39_999.0));
    producer.stop();
    producer.says(&["readings were dropped because the spool was full"]);
}
