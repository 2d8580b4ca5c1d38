//! `bench`: measures rivulet's stages beside other engines that do the same job, on the same Apache
//! Kafka, in one run. The subjects take turns. All outputs are read and compared with what they
//! must be.

mod cell;
mod chain;
mod committed;
mod flow;
mod follower;
mod fsyncs;
mod full_speed;
mod goals;
mod idle;
mod latency;
mod observed;
mod outcome;
mod pacer;
mod parts;
mod picture;
mod place;
mod readings;
mod recovery;
mod results;
mod running;
mod step;
mod subject;
mod table;
mod uc1;
mod verified;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use rivulet_tests::programs;

use self::cell::{Brokers, Cell};
use self::goals::Goals;
use self::outcome::Outcome;
use self::parts::{NAMES, ON_DEMAND, Parts};
use self::picture::Picture;
use self::place::Place;
use self::results::Results;
use self::subject::{CONTENDERS, Subject, Version};
use self::table::{Column, ResultTable};

/// Measure rivulet beside other engines
#[derive(Parser)]
struct Args {
    /// Measure only this part; can be given several times
    #[arg(long, value_name = "PART", value_parser = NAMES)]
    only: Vec<String>,
    /// Leave an engine out; can be given several times
    #[arg(long, value_name = "NAME", value_parser = CONTENDERS)]
    without: Vec<String>,
    /// Also measure the `rivulet-operator` of another version, which is in this folder
    #[arg(long, value_name = "NAME=FOLDER")]
    against: Vec<Version>,
    /// Measure only what tells within four minutes whether something is much slower than before
    #[arg(long)]
    quick: bool,
    /// How often each subject is measured
    #[arg(long, value_name = "COUNT")]
    rounds: Option<usize>,
    /// How many readings flow at full speed
    #[arg(long, value_name = "COUNT")]
    readings: Option<u64>,
    /// For how many seconds a chain is measured
    #[arg(long, value_name = "COUNT")]
    seconds: Option<u64>,
    /// Where all results go, a line of JSON each; by default target/bench/results.jsonl
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the picture of commit intervals goes; by default target/bench/commits.svg
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Only say what would be measured, and how long it takes
    #[arg(long)]
    plan: bool,
}

/// The tables: part, title and columns.
const TABLES: &[(&str, &str, &[Column])] = &[
    ("flow", "One stage at full speed", full_speed::COLUMNS),
    ("chain", "Four hops", chain::COLUMNS),
    ("hop", "One hop", chain::COLUMNS),
    (
        "recovery",
        "Back after kill -9, with a state, four partitions, 2,000 readings/s",
        recovery::COLUMNS,
    ),
    ("idle", "With little to do", idle::COLUMNS),
    (
        "growth",
        "ewma at full speed, by partitions and sensors",
        full_speed::COLUMNS,
    ),
    (
        "uc1",
        "Theodolite's use case 1: measurements to lines on standard output",
        full_speed::COLUMNS,
    ),
    ("curve", "Four hops by commit interval", chain::COLUMNS),
    (
        "cluster",
        "Four hops on three brokers, each record on two disks",
        chain::COLUMNS,
    ),
    ("rule", "Four hops by rate and interval", chain::COLUMNS),
    (
        "rule-cluster",
        "The same on three brokers, each record on two disks",
        chain::COLUMNS,
    ),
];

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome<bool> {
    let parts = parts(args)?;
    let names = NAMES.iter().filter(|name| {
        let is_asked = args.only.iter().any(|asked| asked == *name);
        let is_usual = if args.quick {
            ["flow", "chain"].contains(name)
        } else {
            !ON_DEMAND.contains(name)
        };
        is_asked || args.only.is_empty() && is_usual
    });
    let plan: Vec<Box<dyn Cell>> = names.flat_map(|name| parts.cells(name)).collect();
    say_plan(&parts, &plan, &args.without);
    if args.plan {
        return Ok(true);
    }
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| programs::target().join("bench").join("results.jsonl"));
    let picture = args.picture.clone();
    let picture = picture.unwrap_or_else(|| programs::target().join("bench").join("commits.svg"));
    let mut results = Results::new(&out)?;
    let folder = std::env::temp_dir().join(format!("rivulet-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let begun = Instant::now();
    let failed = measure(&parts, &plan, &folder, &mut results);
    std::fs::remove_dir_all(&folder)?;
    let failed = failed?;

    for (part, title, columns) in TABLES {
        let table = ResultTable {
            results: &results,
            part,
            title,
            columns,
        };
        print!("{table}");
    }
    if let Some(drawn) = Picture::new(&results) {
        std::fs::write(&picture, drawn.to_string())?;
        println!(
            "\nThe picture of commit intervals is {}.",
            picture.display()
        );
    }
    if !args.quick {
        let versions = args
            .against
            .iter()
            .map(Version::subject)
            .map(|version| version.name);
        print!("{}", Goals::new(&results, &versions.collect::<Vec<_>>()));
    }
    if !args.without.is_empty() {
        println!("\nNot measured: {}.", args.without.join(", "));
    }
    println!(
        "\nMeasured in {:.0} minutes.",
        begun.elapsed().as_secs_f64() / 60.0
    );
    for failure in &failed {
        eprintln!("error: {failure}");
    }
    let wrong: Vec<_> = results
        .all
        .iter()
        .filter(|measured| !measured.is_right())
        .collect();
    for measured in &wrong {
        eprintln!("error: the outputs are not right: {measured}");
    }
    Ok(failed.is_empty() && wrong.is_empty())
}

/// Who is measured.
fn parts(args: &Args) -> Outcome<Parts> {
    let is_in = |name: &&str| {
        let is_needed = !args.quick || *name == "franz-go";
        is_needed && args.without.iter().all(|without| without != *name)
    };
    let contenders = CONTENDERS.iter().copied().filter(is_in);
    let contenders = contenders.map(Subject::contender).collect::<Outcome<_>>()?;
    Ok(Parts {
        rivulet: Subject::rivulet(),
        versions: args.against.iter().map(Version::subject).collect(),
        relays: ["relay", "relay-batch"].map(Subject::relay).to_vec(),
        contenders,
        rounds: args.rounds.unwrap_or(if args.quick { 1 } else { 3 }),
        readings: args
            .readings
            .unwrap_or(if args.quick { 500_000 } else { 800_000 }),
        seconds: args.seconds.unwrap_or(if args.quick { 10 } else { 12 }),
        quick: args.quick,
    })
}

fn say_plan(parts: &Parts, plan: &[Box<dyn Cell>], without: &[String]) {
    eprintln!("The plan:");
    for part in NAMES {
        let cells: Vec<_> = plan.iter().filter(|cell| cell.part() == part).collect();
        if !cells.is_empty() {
            let seconds: f64 = cells.iter().map(|cell| cell.seconds()).sum();
            eprintln!(
                "  {part}: {} runs, {:.1} minutes",
                cells.len(),
                seconds / 60.0
            );
        }
    }
    let places = [Brokers::One, Brokers::Three];
    let warm_ups = places
        .into_iter()
        .filter(|one| plan.iter().any(|cell| cell.brokers() == *one));
    let warm_ups: f64 = warm_ups
        .map(|brokers| parts.warm_up(brokers).seconds())
        .sum();
    let seconds = warm_ups + plan.iter().map(|cell| cell.seconds()).sum::<f64>();
    eprintln!("  together {:.0} minutes", (seconds / 60.0).ceil());
    if !without.is_empty() {
        eprintln!("  without {}", without.join(", "));
    }
}

/// Runs all cells, and returns those that failed. New brokers warm up first.
fn measure(
    parts: &Parts,
    plan: &[Box<dyn Cell>],
    folder: &Path,
    results: &mut Results,
) -> Outcome<Vec<String>> {
    let mut failed = Vec::new();
    let mut place: Option<(Brokers, Place)> = None;
    for (number, cell) in plan.iter().enumerate() {
        let here = match place.take() {
            Some((brokers, here)) if brokers == cell.brokers() => here,
            other => {
                drop(other);
                let here = match cell.brokers() {
                    Brokers::One => Place::one(folder)?,
                    Brokers::Three => Place::three(folder)?,
                };
                eprintln!("the brokers warm up");
                parts.warm_up(cell.brokers()).run(&here, folder, "warm")?;
                here.remove("warm-")?;
                here
            }
        };
        eprintln!("{}/{}: {}", number + 1, plan.len(), cell.title());
        let name = format!("b{number}");
        match cell.run(&here, folder, &name) {
            Ok(measured) => results.add(measured)?,
            Err(error) => {
                let failure = format!("{}: {error}", cell.title());
                eprintln!("  failed: {failure}");
                failed.push(failure);
            }
        }
        here.remove(&format!("{name}-"))?;
        place = Some((cell.brokers(), here));
    }
    Ok(failed)
}
