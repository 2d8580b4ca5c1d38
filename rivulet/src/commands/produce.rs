//! `rivulet produce`.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rivulet_core::shutdown::{EndProcess, Shutdown};
use rivulet_node::cli::BoxError;
use rivulet_node::signals;
use rivulet_pipeline::Prefix;

use crate::args::{KeyArgs, ProduceArgs, TransactionArgs};
use crate::produce::{
    InputSource, KeyChoice, PaceOptions, ProduceOptions, TransactionOptions, produce,
};
use crate::{Target, print};

pub(super) fn run(
    args: &ProduceArgs,
    target: &Target<'_>,
    end: EndProcess,
) -> Result<(), BoxError> {
    let options = options(args, target);
    if options.is_random() && args.keys.seed.is_none() {
        print::aside(format_args!("seed {}", options.seed));
    }
    let shutdown = Shutdown::new();
    signals::watch(&shutdown, end)?;
    let bar = bar(&options)?;
    let say = |text: &str| print::text(text);
    let (produced, result) = produce(&target.connection, &options, &say, &bar, &shutdown);
    bar.finish_and_clear();
    if !produced.producers.is_empty() {
        print::aside(&produced);
    }
    Ok(result?)
}

fn options(args: &ProduceArgs, target: &Target<'_>) -> ProduceOptions {
    let input = match &args.file {
        Some(path) if path != Path::new("-") => InputSource::File(path.clone()),
        _ => InputSource::Standard,
    };
    let (keys, pace) = (&args.keys, &args.pace);
    ProduceOptions {
        topics: target.topics(&args.topics.0),
        input,
        format: args.format,
        keys: key_choice(keys),
        partition: keys.partition,
        headers: keys.header.clone(),
        producers: pace.producers,
        pace: PaceOptions {
            rate: pace.rate,
            pause: pace.pause.map(|span| span.0),
            pause_every: pace.pause_every.map_or(1, NonZeroU64::get),
            flush_every: pace.flush_every.map(NonZeroU64::get),
        },
        limit: pace.limit,
        reports: pace.reports,
        transactions: transactions(&args.transactions, &target.prefix),
        // Short enough to type.
        seed: keys.seed.unwrap_or_else(|| any_number() % 1_000_000),
    }
}

fn key_choice(args: &KeyArgs) -> KeyChoice {
    // They exclude each other.
    match (&args.key, &args.random_key, &args.key_field) {
        (Some(key), ..) => KeyChoice::Text(key.clone()),
        (_, Some(range), _) => KeyChoice::Random(*range),
        (.., Some(field)) => KeyChoice::Field(field.clone()),
        _ if args.count_keys => KeyChoice::Count,
        _ => KeyChoice::None,
    }
}

fn transactions(args: &TransactionArgs, prefix: &Prefix) -> Option<TransactionOptions> {
    args.transaction.map(|records| TransactionOptions {
        records: records.get(),
        hold: args.hold.map_or(Duration::ZERO, |span| span.0),
        abort: args.abort.unwrap_or_default(),
        id: args
            .transactional_id
            .clone()
            .unwrap_or_else(|| prefix.with(&unique_id())),
    })
}

/// A number that differs from process to process.
fn any_number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

fn unique_id() -> String {
    format!("rivulet-produce-{:x}", any_number())
}

/// The bar at a terminal. It would tear lines that are printed meanwhile.
fn bar(options: &ProduceOptions) -> Result<ProgressBar, BoxError> {
    let prints = options.reports || options.transactions.is_some();
    if prints || options.input.size().is_none() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    )?;
    Ok(ProgressBar::new(0)
        .with_style(style)
        .with_message(options.topics.join(", ")))
}
