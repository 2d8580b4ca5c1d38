//! Measures stages and a byte relay written directly on rdkafka: the upper limit for a stage.
//!
//! All subjects are measured in one run, on one Kafka, in turns. Results of different runs cannot
//! be compared.

mod probe;
mod table;

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use rivulet_core::guarantee::Guarantee;
use rivulet_tests::{Kafka, programs};

use self::probe::Probe;
use self::table::{Measured, ResultTable};

/// Measure stages and a byte relay
#[derive(Parser)]
struct Args {
    /// How many readings each subject processes
    #[arg(long, default_value_t = 2_000_000)]
    readings: u64,
    /// How often each subject is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// For how many seconds the memory is measured at 1,000 readings/s
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

const GUARANTEES: [Guarantee; 2] = [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce];
const SUBJECTS: [&str; 3] = ["relay", "convert", "ewma"];
const SENSORS: u64 = 10;
/// Longer than any measurement.
const DEADLINE: Duration = Duration::from_mins(5);

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let bench = Bench::new(&args, Kafka::shared())?;
    bench.rivulet(&["topics", "create"])?;
    let start = Instant::now();
    bench.finish("rivulet-producer", "fill")?;
    println!(
        "{} readings of {SENSORS} sensors sent in {:.1} s\n",
        args.readings,
        start.elapsed().as_secs_f64()
    );

    let mut table = ResultTable::default();
    for round in 0..args.rounds {
        for guarantee in GUARANTEES {
            for subject in SUBJECTS {
                let measured = bench.flow(subject, guarantee, round)?;
                eprintln!("round {}: {subject} {guarantee}: {measured}", round + 1);
                table.add(subject, guarantee, measured);
            }
        }
    }
    println!("{table}");
    bench.steady(args.seconds)?;
    sizes()?;
    bench.rivulet(&["topics", "delete", "--yes"])
}

/// A pipeline file with all stages, and the brokers that they run on.
struct Bench {
    brokers: String,
    folder: PathBuf,
    readings: u64,
}

impl Bench {
    fn new(args: &Args, brokers: &str) -> Result<Self, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("rivulet-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("bench.toml"), pipeline(args)?)?;
        Ok(Bench {
            brokers: brokers.to_owned(),
            folder,
            readings: args.readings / SENSORS * SENSORS,
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(programs::program(program));
        command
            .env("RUST_LOG", "warn")
            .args(["--brokers", &self.brokers])
            .stdin(Stdio::null());
        command
    }

    fn on_pipeline(&self, program: &str) -> Command {
        let mut command = self.command(program);
        command
            .arg("--pipeline")
            .arg(self.folder.join("bench.toml"));
        command
    }

    fn rivulet(&self, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
        succeeded(
            "rivulet",
            self.on_pipeline("rivulet")
                .args(arguments)
                .stdout(Stdio::null())
                .status()?,
        )
    }

    fn finish(&self, program: &str, stage: &str) -> Result<(), Box<dyn Error>> {
        succeeded(stage, self.on_pipeline(program).arg(stage).status()?)
    }

    fn operator(&self, stage: &str, guarantee: Guarantee) -> Result<Running, Box<dyn Error>> {
        let mut command = self.on_pipeline("rivulet-operator");
        Ok(Running(
            command
                .arg(stage)
                .args(["--guarantee", guarantee.name()])
                .spawn()?,
        ))
    }

    /// Measures one subject while it processes all readings.
    fn flow(
        &self,
        subject: &str,
        guarantee: Guarantee,
        round: usize,
    ) -> Result<Measured, Box<dyn Error>> {
        let stage = stage(subject, guarantee, round);
        let running = if subject == "relay" {
            let mut relay = self.command("relay");
            relay.args([
                "--from",
                "input",
                "--to",
                &stage,
                "--group",
                &stage,
                "--guarantee",
                guarantee.name(),
            ]);
            Running(relay.spawn()?)
        } else {
            self.operator(&stage, guarantee)?
        };
        let probe = Probe::new(&self.brokers, &stage, "input", running.0.id())?;
        let end = probe.end()?;
        let start = Instant::now();
        // From the first commit to the last: joining the group is not measured.
        let (first, began) = loop {
            match probe.committed()? {
                Some(offset) if offset > 0 => break (offset, Instant::now()),
                _ if start.elapsed() > DEADLINE => {
                    return Err(format!("{stage} does not start").into());
                }
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        while probe.committed()?.unwrap_or_default() < end {
            if start.elapsed() > DEADLINE {
                return Err(format!("{stage} does not finish").into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(Measured {
            per_second: (end - first) as f64 / seconds,
            cpu: probe.cpu()?.as_secs_f64() * 1e6 / self.readings as f64,
            memory: probe.peak_memory()?,
        })
    }

    /// Measures the memory of operators at a steady rate of 1,000 readings/s.
    fn steady(&self, seconds: u64) -> Result<(), Box<dyn Error>> {
        println!("peak memory after {seconds} s of 1,000 readings/s, exactly-once:");
        let mut producer = Running(
            self.on_pipeline("rivulet-producer")
                .arg("trickle")
                .spawn()?,
        );
        let stages = ["convert-steady", "ewma-steady"];
        let operators: Vec<Running> = stages
            .iter()
            .map(|stage| self.operator(stage, Guarantee::ExactlyOnce))
            .collect::<Result<_, _>>()?;
        std::thread::sleep(Duration::from_secs(seconds));
        for (stage, running) in stages.iter().zip(&operators) {
            let probe = Probe::new(&self.brokers, stage, "trickle", running.0.id())?;
            println!(
                "  {:16} {:6.1} MB",
                stage.trim_end_matches("-steady"),
                probe.peak_memory()?
            );
        }
        producer.0.kill()?;
        Ok(())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn stage(subject: &str, guarantee: Guarantee, round: usize) -> String {
    format!("{subject}-{guarantee}-{round}")
}

/// The pipeline of the benchmark: each stage has its own output topic.
fn pipeline(args: &Args) -> Result<String, std::fmt::Error> {
    const CONVERT: &str = "{ convert = { from = \"celsius\", to = \"fahrenheit\" } }";
    const EWMA: &str = "{ ewma = { alpha = 0.5 } }";
    let mut text = String::new();
    let fill = format!("readings = {}", args.readings / SENSORS);
    for (producer, settings, to) in [
        ("fill", fill.as_str(), "input"),
        ("trickle", "rate = 1000", "trickle"),
    ] {
        writeln!(
            text,
            "[producer.{producer}]\n\
             source = {{ simulated = {{ sensors = {SENSORS}, {settings} }} }}\n\
             to = \"{to}\""
        )?;
    }
    let mut operators = vec![
        ("convert-steady".to_owned(), "trickle".to_owned(), CONVERT),
        ("ewma-steady".to_owned(), "trickle".to_owned(), EWMA),
    ];
    for round in 0..args.rounds {
        for guarantee in GUARANTEES {
            for (subject, step) in [("convert", CONVERT), ("ewma", EWMA)] {
                operators.push((stage(subject, guarantee, round), "input".to_owned(), step));
            }
            // The relay is not a stage: a stage that reads its output makes it a topic of the file.
            let relay = stage("relay", guarantee, round);
            operators.push((format!("after-{relay}"), relay, CONVERT));
        }
    }
    for (name, from, step) in operators {
        writeln!(
            text,
            "[operator.{name}]\nfrom = \"{from}\"\nsteps = [{step}]\nto = \"{name}\""
        )?;
    }
    for round in 0..args.rounds {
        for guarantee in GUARANTEES {
            writeln!(
                text,
                "[topic.{}]\nexternal = true",
                stage("relay", guarantee, round)
            )?;
        }
    }
    Ok(text)
}

fn sizes() -> Result<(), Box<dyn Error>> {
    println!("\nsize of the stripped programs:");
    for program in [
        "rivulet-producer",
        "rivulet-operator",
        "rivulet-sink",
        "rivulet",
    ] {
        let path = programs::program(program);
        println!(
            "  {program:16} {:6.1} MB",
            std::fs::metadata(Path::new(&path))?.len() as f64 / 1e6
        );
    }
    Ok(())
}

fn succeeded(what: &str, status: std::process::ExitStatus) -> Result<(), Box<dyn Error>> {
    if status.success() {
        Ok(())
    } else {
        Err(format!("{what} ended with {status}").into())
    }
}
