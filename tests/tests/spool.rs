//! A producer with a spool goes on reading while Kafka is unreachable, and loses no reading, even
//! if it is killed.

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Write};
use std::ops::Range;
use std::path::PathBuf;

use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario, wait};

const SOURCE: &str = "{ lines = { sensor = \"attic\" } }";

/// A producer that reads lines from the test, on a broker that the test can kill.
struct Spooled {
    kafka: Kafka,
    scenario: Scenario,
    /// Kept open, so that a killed process leaves unread lines in the pipe.
    read: PipeReader,
    write: PipeWriter,
}

impl Spooled {
    fn new(spool: &str) -> Self {
        let kafka = Kafka::start(&[]);
        let pipeline =
            PipelineBuilder::new().spooled_producer("attic", SOURCE, spool, "temperatures");
        let scenario = Scenario::on(kafka.brokers(), pipeline);
        scenario.create_topics();
        let (read, write) = std::io::pipe().unwrap();
        Spooled {
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

    /// Writes these numbers as lines, and waits until they are safe in the spool.
    fn feed(&mut self, numbers: Range<u64>) {
        let end = numbers.end;
        // In chunks, because a pipe holds 64 KiB.
        for chunk in numbers.collect::<Vec<_>>().chunks(1000) {
            let lines: Vec<String> = chunk.iter().map(u64::to_string).collect();
            writeln!(self.write, "{}", lines.join("\n")).unwrap();
        }
        wait::until_true(&format!("the spool has {end} readings"), || {
            self.spooled() == end
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

    /// How many readings of the source are in the spool: behind each batch it writes the number of
    /// the next one, as text.
    fn spooled(&self) -> u64 {
        const COUNT: &[u8] = b"{\"next\":{\"attic\":";
        // A file may be deleted just now.
        let content: Vec<u8> = self
            .files()
            .iter()
            .filter_map(|file| fs::read(file).ok())
            .flatten()
            .collect();
        let Some(at) = content
            .windows(COUNT.len())
            .rposition(|bytes| bytes == COUNT)
        else {
            return 0;
        };
        let digits = content[at + COUNT.len()..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    }
}

#[test]
fn readings_taken_without_kafka_arrive_once_and_in_order() {
    let mut spooled = Spooled::new("{ path = \"spool\" }");
    let mut producer = spooled.start();
    spooled.feed(0..100);
    wait::until_true("they arrive", || {
        spooled.scenario.written("temperatures") >= 100
    });
    // Some of these are sent, some are not, and some are unknown.
    spooled.feed(100..600);
    spooled.kafka.kill();
    spooled.feed(600..700);
    producer.kill();
    // It starts without Kafka, and reads all the same.
    producer = spooled.start();
    spooled.feed(700..800);
    producer.kill();
    // As if the power was cut during a write.
    let last = spooled.files().pop().unwrap();
    File::options()
        .append(true)
        .open(last)
        .unwrap()
        .write_all(b"\x2a\0\0\0half a record")
        .unwrap();
    producer = spooled.start();
    producer.says(&["spool file truncated", "bytes=17"]);
    spooled.feed(800..900);
    spooled.kafka.run();
    wait::until_true("the rest arrives", || {
        spooled.scenario.written("temperatures") >= 900
    });
    producer.kill();
    producer = spooled.start();
    spooled.feed(900..1000);
    let found = spooled.scenario.values("temperatures", 1000);
    assert_eq!(found, (0..1000).map(f64::from).collect::<Vec<_>>());
    producer.stop();
    let dead_letters = rivulet_tests::records::written(
        spooled.scenario.brokers(),
        &spooled.scenario.dead_letters("attic"),
    );
    assert_eq!(dead_letters, 0);
}

#[test]
fn a_full_spool_reports_the_readings_that_it_loses() {
    let mut spooled = Spooled::new("{ path = \"spool\", size = \"1 MB\", sync-ms = 100 }");
    let mut producer = spooled.start();
    spooled.feed(0..10);
    wait::until_true("they arrive", || {
        spooled.scenario.written("temperatures") >= 10
    });
    spooled.kafka.kill();
    // The producer takes up to 20,000 for its next transaction. The others are too many.
    spooled.feed(10..80_000);
    producer.says(&[
        "spool is full: dropping the oldest readings",
        "size=1000000",
    ]);
    spooled.kafka.run();
    let dead_letters = rivulet_tests::records::read(
        spooled.scenario.brokers(),
        &spooled.scenario.dead_letters("attic"),
        1,
    );
    let lost: u64 = dead_letters
        .iter()
        .map(|dead_letter| {
            assert_eq!(dead_letter.header("rivulet.reason"), "lost");
            dead_letter
                .header("rivulet.error")
                .split(' ')
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    let found = spooled
        .scenario
        .values("temperatures", 80_000 - usize::try_from(lost).unwrap());
    assert_eq!(found.len() as u64 + lost, 80_000);
    assert!(found.is_sorted_by(|one, next| one < next));
    assert_eq!(found.last(), Some(&79_999.0));
    producer.stop();
    producer.says(&["readings were dropped because the spool was full"]);
}
