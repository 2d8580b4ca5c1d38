//! Measures `rivulet web` under load: 1,000 sensors, 10,000 readings a second, and 50 pages that
//! follow its events.

mod observed;
mod running;

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rivulet_tests::{Kafka, programs, wait};

use self::observed::Observed;
use self::running::Running;

/// The stages: both branches read what the source writes.
const PIPELINE: &str = r#"
guarantee = "at-least-once"
[kafka]
brokers = "BROKERS"
[defaults]
partitions = 4
[producer.sensors]
source = { simulated = { sensors = SENSORS, readings = READINGS, rate = RATE } }
to = "warm"
[operator.ewma]
from = "warm"
steps = [{ ewma = { alpha = 0.5 } }]
to = "ewma"
[operator.average]
from = "warm"
steps = [{ average = { window = 3 } }]
to = "average"
[sink.compare]
from = ["ewma", "average", "warm"]
sink = { compare = { ewma = "ewma", average = "average", input = "warm" } }
"#;

/// Measures the page under load
#[derive(Parser)]
struct Options {
    /// How long, in seconds
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// How many pages follow
    #[arg(long, default_value_t = 50)]
    viewers: usize,
    /// How many sensors there are
    #[arg(long, default_value_t = 1000)]
    sensors: u64,
    /// How many readings of all sensors together arrive in a second
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
}

/// What a page has received.
#[derive(Default)]
struct Received {
    bytes: u64,
    events: u64,
    /// The longest time between two events.
    longest: Duration,
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let options = Options::parse();
    let kafka = Kafka::start(&[]);
    let folder = std::env::temp_dir().join(format!("rivulet-viewers-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&options, &kafka.brokers(), &folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(
    options: &Options,
    brokers: &str,
    folder: &std::path::Path,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let readings = (options.seconds + 120) * options.rate / options.sensors;
    let file = folder.join("pipeline.toml");
    let pipeline = PIPELINE
        .replace("BROKERS", brokers)
        .replace("SENSORS", &options.sensors.to_string())
        .replace("READINGS", &readings.to_string())
        .replace("RATE", &options.rate.to_string());
    fs::write(&file, pipeline)?;
    let start = |arguments: &[&str]| -> Result<Running, Box<dyn Error + Send + Sync>> {
        let mut command = Command::new(programs::program("rivulet"));
        programs::forget_settings(&mut command);
        command
            .args(arguments)
            .arg("--pipeline")
            .arg(&file)
            .current_dir(folder);
        let log = fs::File::create(folder.join(format!("{}.log", arguments[0])))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Ok(Running::start(&mut command)?)
    };
    start(&["topics", "create"])?.0.wait()?;
    let targets = "[{\"targets\": [\"127.0.0.1:19464\"], \"labels\": {\"node\": \"here\"}}]";
    fs::write(folder.join("targets.json"), targets)?;
    let _stages = start(&["run", "sensors", "ewma", "average", "--metrics", "19464"])?;
    let web = start(&["web", "--listen", "18460", "--targets", "targets.json"])?;
    let address = "127.0.0.1:18460";
    wait::until_true("the page answers", || TcpStream::connect(address).is_ok());

    // The first answers are about everything that there is.
    thread::sleep(Duration::from_secs(20));
    let probe = Observed { id: web.0.id() };
    let (cpu, begun) = (probe.cpu()?.as_secs_f64(), Instant::now());
    let is_over = AtomicBool::new(false);
    let received = thread::scope(|scope| {
        let viewers: Vec<_> = (0..options.viewers)
            .map(|number| {
                let sensor = format!("sensor{}", number % 1000);
                let is_over = &is_over;
                scope.spawn(move || follow(address, &sensor, is_over))
            })
            .collect();
        thread::sleep(Duration::from_secs(options.seconds));
        is_over.store(true, Ordering::Relaxed);
        let received = viewers.into_iter().map(thread::ScopedJoinHandle::join);
        received.collect::<Vec<_>>()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let received: Vec<Received> = received
        .into_iter()
        .map(|viewer| viewer.map_err(|_| "a viewer panicked")?.map_err(Into::into))
        .collect::<Result<_, Box<dyn Error + Send + Sync>>>()?;
    let bytes: u64 = received.iter().map(|page| page.bytes).sum();
    let events: u64 = received.iter().map(|page| page.events).sum();
    let viewers = received.len() as f64;
    let longest = received
        .iter()
        .map(|page| page.longest)
        .max()
        .unwrap_or_default();
    println!(
        "{} pages, {} sensors, {} readings/s, {seconds:.0} s",
        options.viewers, options.sensors, options.rate
    );
    println!(
        "CPU of the server: {:.1} % of a core",
        100.0 * (probe.cpu()?.as_secs_f64() - cpu) / seconds
    );
    println!("peak memory: {:.1} MB", probe.peak_memory()?);
    println!("a page: {:.1} kB/s", bytes as f64 / viewers / seconds / 1e3);
    println!(
        "events a page: {:.1} of {seconds:.0} that are due; the longest pause {:.1} s",
        events as f64 / viewers,
        longest.as_secs_f64()
    );
    Ok(())
}

/// Follows the events of a page about one sensor.
fn follow(address: &str, sensor: &str, is_over: &AtomicBool) -> std::io::Result<Received> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(20)))?;
    let query = format!("/events?sensor={sensor}&columns=800");
    write!(
        connection,
        "GET {query} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )?;
    let (mut received, mut last) = (Received::default(), Instant::now());
    let mut lines = BufReader::new(connection);
    let mut line = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::Error::other("the server has ended the stream"));
        }
        received.bytes += line.len() as u64;
        if line.starts_with(b"data:") {
            if received.events > 0 {
                received.longest = received.longest.max(last.elapsed());
            }
            received.events += 1;
            last = Instant::now();
        }
    }
    Ok(received)
}
