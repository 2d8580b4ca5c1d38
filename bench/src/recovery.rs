//! Measures how soon a stage with a large state is back after `kill -9`: the time from the start of
//! its process to its first committed output.
//!
//! Readings arrive all the time, so the dead process leaves a session and an open transaction
//! behind.

mod running;

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rivulet_tests::{Kafka, programs};

use self::running::Running;

/// Measure how soon a stage is back after kill -9
#[derive(Parser)]
struct Args {
    /// How many sensors the state has
    #[arg(long, default_value_t = 10_000)]
    sensors: u64,
    /// How often it is killed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

const PARTITIONS: i32 = 4;
const RATE: u64 = 2000;
const DEADLINE: Duration = Duration::from_mins(2);
/// Longer than the last committed records of a killed process need to arrive.
const QUIET: Duration = Duration::from_millis(500);

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let folder = std::env::temp_dir().join(format!("rivulet-recovery-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure(
        &args,
        &Setup {
            brokers: Kafka::shared().to_owned(),
            folder: folder.clone(),
        },
    );
    std::fs::remove_dir_all(folder)?;
    measured
}

fn measure(args: &Args, setup: &Setup) -> Result<(), Box<dyn Error>> {
    let sensors = args.sensors;
    let text = format!(
        "[defaults]\npartitions = {PARTITIONS}\n\
         [producer.flow]\nsource = {{ simulated = {{ sensors = {sensors}, rate = {RATE} }} }}\nto \
         = \"in\"\n\
         [operator.ewma]\nfrom = \"in\"\nsteps = [{{ ewma = {{ alpha = 0.5 }} }}]\nto = \"out\"\n"
    );
    std::fs::write(setup.folder.join("recovery.toml"), text)?;
    if !setup
        .command("rivulet")
        .args(["topics", "create"])
        .stdout(Stdio::null())
        .status()?
        .success()
    {
        return Err("the topics could not be created".into());
    }
    let reader = Reader::new(&setup.brokers)?;
    let _producer = setup.run("rivulet-producer", "flow")?;
    let mut operator = setup.run("rivulet-operator", "ewma")?;
    // The source takes its sensors in turn, so every sensor has a state after this.
    for _ in 0..sensors * 2 {
        reader.next(DEADLINE)?.ok_or("the stage writes nothing")?;
    }
    println!(
        "first output after kill -9, from process start, with the state of {sensors} sensors:"
    );
    for round in 1..=args.rounds {
        operator.0.kill()?;
        operator.0.wait()?;
        while reader.next(QUIET)?.is_some() {}
        let start = Instant::now();
        operator = setup.run("rivulet-operator", "ewma")?;
        let first = reader
            .next(DEADLINE)?
            .ok_or("the stage does not come back")?;
        println!("  round {round}: {:.3} s", (first - start).as_secs_f64());
        // The next kill must interrupt processing, not the start.
        for _ in 0..RATE * 2 {
            reader.next(DEADLINE)?.ok_or("the stage writes nothing")?;
        }
    }
    Ok(())
}

/// A pipeline file and the brokers that it runs on.
struct Setup {
    brokers: String,
    folder: PathBuf,
}

impl Setup {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(programs::program(program));
        command
            .args(["--brokers", &self.brokers, "--pipeline"])
            .arg(self.folder.join("recovery.toml"));
        command.stdin(Stdio::null());
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        command
    }

    fn run(&self, program: &str, stage: &str) -> Result<Running, Box<dyn Error>> {
        Ok(Running(self.command(program).arg(stage).spawn()?))
    }
}

/// Reads committed records of the stage's output as soon as they arrive.
struct Reader(BaseConsumer);

impl Reader {
    fn new(brokers: &str) -> Result<Self, Box<dyn Error>> {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "recovery")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "5")
            .create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset("out", partition, Offset::Beginning)?;
        }
        client.assign(&list)?;
        Ok(Reader(client))
    }

    /// When the next record arrived; `None` if none arrived in time.
    fn next(&self, wait: Duration) -> Result<Option<Instant>, Box<dyn Error>> {
        let record = self.0.poll(wait).transpose()?;
        Ok(record.map(|_| Instant::now()))
    }
}
