//! `simulate`: runs the schedules of many seeds, or prints the events of one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use rivulet_simulation::faults::{FaultCounts, FaultKind};
use rivulet_simulation::schedule::{self, Outcome};

/// How many failures are shown.
const SHOWN: usize = 10;

/// Run whole pipelines on a Kafka in memory, in seeded schedules full of faults
#[derive(Parser)]
#[command(name = "simulate", version)]
struct Args {
    /// How many schedules to run
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,

    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,

    /// Run only this seed and print its events
    #[arg(long)]
    seed: Option<u64>,

    /// Leave out a kind of fault, named as in the summary
    #[arg(long, value_parser = kind)]
    without: Vec<FaultKind>,

    /// Stop at the first failure
    #[arg(long)]
    first: bool,
}

#[derive(Default)]
struct Totals {
    verified: u64,
    schedules: u64,
    faults: FaultCounts,
    failures: Vec<(u64, String)>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(seed) = args.seed {
        let outcome = schedule::run_without(seed, true, &args.without);
        println!(
            "verified {} readings; {}",
            outcome.verified,
            outcome.failure.as_deref().unwrap_or("no failure")
        );
        return if outcome.failure.is_none() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    let start = Instant::now();
    let totals = run(&args);
    let seconds = start.elapsed().as_secs_f64();
    let Totals {
        verified,
        schedules,
        faults,
        mut failures,
    } = totals;
    print!("{faults}");
    println!(
        "{schedules} schedules in {seconds:.1} s ({:.0} a second), {verified} readings verified, \
         {} failures",
        schedules as f64 / seconds,
        failures.len()
    );
    failures.sort();
    for (seed, failure) in failures.iter().take(SHOWN) {
        println!("seed {seed}: {failure}\n  make simulate SEED={seed} prints its events");
    }
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn kind(name: &str) -> Result<FaultKind, String> {
    FaultKind::named(name).ok_or_else(|| {
        format!(
            "unknown kind; the kinds are {}",
            FaultKind::names().join(", ")
        )
    })
}

/// Runs all seeds, on all cores.
fn run(args: &Args) -> Totals {
    let next = AtomicU64::new(args.from);
    let end = args.from.saturating_add(args.seeds);
    let is_over = AtomicBool::new(false);
    let totals = Mutex::new(Totals::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let outcome = run_or_catch(seed, &args.without);
                    let mut totals = totals.lock().expect("nothing panics while it holds this");
                    totals.verified += outcome.verified;
                    totals.schedules += 1;
                    totals.faults.join(&outcome.faults);
                    if let Some(failure) = outcome.failure {
                        totals.failures.push((seed, failure));
                        is_over.fetch_or(args.first, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    totals
        .into_inner()
        .expect("nothing panics while it holds this")
}

/// Runs a seed. A panic is a failure.
fn run_or_catch(seed: u64, without: &[FaultKind]) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| {
        schedule::run_without(seed, false, without)
    }))
    .unwrap_or_else(|_| Outcome {
        verified: 0,
        faults: FaultCounts::default(),
        failure: Some("it panicked".to_owned()),
    })
}
