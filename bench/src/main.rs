//! Measures stages and a byte relay written directly on rdkafka: the upper limit for a stage.
//!
//! All subjects are measured in one run, on one Kafka, in turns. Results of different runs cannot
//! be compared.

mod observed;
mod probe;
mod running;
mod subject;
mod table;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use rivulet_core::guarantee::Guarantee;
use rivulet_tests::{Kafka, SchemaRegistry, programs};

use self::observed::Observed;
use self::probe::Probe;
use self::running::Running;
use self::subject::{FORMATS, PARTS, SCHEMA, STEPS, Subject, Version};
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
    /// Also measure the `rivulet-operator` of another version, which is in this folder
    #[arg(long, value_name = "NAME=FOLDER")]
    against: Vec<Version>,
}

const GUARANTEES: [Guarantee; 2] = [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce];
const SENSORS: u64 = 10;
/// Longer than any measurement.
const DEADLINE: Duration = Duration::from_mins(5);

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let subjects = subject::all(&args.against);
    let registry = SchemaRegistry::start();
    let bench = Bench::new(&args, &subjects, Kafka::shared(), &registry.url())?;
    bench.rivulet(&["topics", "create"])?;
    let start = Instant::now();
    bench.finish("rivulet-producer", "fill")?;
    println!(
        "{} readings of {SENSORS} sensors sent in {:.1} s\n",
        args.readings,
        start.elapsed().as_secs_f64()
    );
    for (format, ..) in FORMATS {
        bench.finish("rivulet-producer", &format!("fill-{format}"))?;
    }

    let mut table = ResultTable::default();
    for round in 0..args.rounds {
        for guarantee in GUARANTEES {
            for subject in &subjects {
                let measured = bench.flow(subject, guarantee, round)?;
                let name = &subject.name;
                eprintln!("round {}: {name} {guarantee}: {measured}", round + 1);
                table.add(name, guarantee, measured);
            }
        }
    }
    println!("{table}");
    bench.steady(&subjects, args.seconds)?;
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
    fn new(
        args: &Args,
        subjects: &[Subject],
        brokers: &str,
        registry: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("rivulet-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let text = pipeline(args, subjects, &FORMATS)?.replace("REGISTRY", registry);
        std::fs::write(folder.join("bench.toml"), text)?;
        // Other versions may not know all formats.
        let plain = subjects.iter().filter(|subject| subject.format.is_none());
        let text = pipeline(args, &plain.cloned().collect::<Vec<_>>(), &[])?;
        std::fs::write(folder.join("plain.toml"), text)?;
        std::fs::write(folder.join("reading.avsc"), SCHEMA)?;
        Ok(Bench {
            brokers: brokers.to_owned(),
            folder,
            readings: args.readings / SENSORS * SENSORS,
        })
    }

    fn command(&self, program: &str) -> Command {
        self.command_of(&programs::program(program))
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("RUST_LOG", "warn")
            .args(["--brokers", &self.brokers])
            .stdin(Stdio::null());
        command
    }

    fn on_pipeline(&self, program: &str) -> Command {
        self.with_pipeline(self.command(program))
    }

    fn with_pipeline(&self, command: Command) -> Command {
        self.with_file(command, "bench.toml")
    }

    fn with_file(&self, mut command: Command, file: &str) -> Command {
        command.arg("--pipeline").arg(self.folder.join(file));
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

    /// Starts a stage with the program of a subject.
    fn operator(
        &self,
        subject: &Subject,
        stage: &str,
        guarantee: Guarantee,
    ) -> Result<Running, Box<dyn Error>> {
        const PROGRAM: &str = "rivulet-operator";
        let program = subject
            .folder
            .as_ref()
            .map_or_else(|| programs::program(PROGRAM), |folder| folder.join(PROGRAM));
        let is_other = subject.folder.is_some();
        let file = if is_other { "plain.toml" } else { "bench.toml" };
        let mut command = self.with_file(self.command_of(&program), file);
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
        subject: &Subject,
        guarantee: Guarantee,
        round: usize,
    ) -> Result<Measured, Box<dyn Error>> {
        let stage = stage(&subject.name, guarantee, round);
        let running = if subject.step.is_none() {
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
            self.operator(subject, &stage, guarantee)?
        };
        let probe = Probe::new(&self.brokers, &stage, &subject.input())?;
        let process = Observed { id: running.0.id() };
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
            cpu: process.cpu()?.as_secs_f64() * 1e6 / self.readings as f64,
            memory: process.peak_memory()?,
        })
    }

    /// Measures the memory of operators at a steady rate of 1,000 readings/s.
    fn steady(&self, subjects: &[Subject], seconds: u64) -> Result<(), Box<dyn Error>> {
        println!("peak memory after {seconds} s of 1,000 readings/s, exactly-once:");
        let mut producer = Running(
            self.on_pipeline("rivulet-producer")
                .arg("trickle")
                .spawn()?,
        );
        let stages: Vec<&Subject> = subjects
            .iter()
            .filter(|subject| subject.step.is_some() && subject.format.is_none())
            .collect();
        let operators: Vec<Running> = stages
            .iter()
            .map(|subject| self.operator(subject, &steady(subject), Guarantee::ExactlyOnce))
            .collect::<Result<_, _>>()?;
        std::thread::sleep(Duration::from_secs(seconds));
        for (subject, running) in stages.iter().zip(&operators) {
            let process = Observed { id: running.0.id() };
            println!("  {:16} {:6.1} MB", subject.name, process.peak_memory()?);
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

fn stage(subject: &str, guarantee: Guarantee, round: usize) -> String {
    format!("{subject}-{guarantee}-{round}")
}

fn steady(subject: &Subject) -> String {
    format!("{}-steady", subject.name)
}

/// The pipeline of the benchmark: each stage has its own output topic.
fn pipeline(
    args: &Args,
    subjects: &[Subject],
    formats: &[(&'static str, &str, &str)],
) -> Result<String, std::fmt::Error> {
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
    let mut topics = BTreeMap::new();
    for &(name, format, settings) in formats {
        topics.insert(
            name,
            format!("format = {{ {format} = {{ {settings} {PARTS} }} }}"),
        );
        writeln!(
            text,
            "[producer.fill-{name}]\n\
             source = {{ simulated = {{ sensors = {SENSORS}, {fill} }} }}\n\
             to = \"input-{name}\"\n\
             [topic.input-{name}]\n{}",
            topics[name]
        )?;
    }
    let mut operators = Vec::new();
    for subject in subjects {
        let steadily = subject.step.filter(|_| subject.format.is_none());
        operators.extend(steadily.map(|step| (steady(subject), "trickle".to_owned(), step)));
        for round in 0..args.rounds {
            for guarantee in GUARANTEES {
                let stage = stage(&subject.name, guarantee, round);
                if let Some(format) = subject.format {
                    writeln!(text, "[topic.{stage}]\n{}", topics[format])?;
                }
                operators.push(match subject.step {
                    Some(step) => (stage, subject.input(), step),
                    // The relay is not a stage: a stage that reads its output makes it a topic of
                    // the file.
                    None => (format!("after-{stage}"), stage, STEPS[0].1),
                });
            }
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
