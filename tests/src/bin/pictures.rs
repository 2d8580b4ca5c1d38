//! `pictures FOLDER` takes the pictures of the documents from a real run: the four-node chain on a
//! new Apache Kafka, watched on a page, in terminals and in a report.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rivulet_tests::{Browser, Endpoint, Kafka, Process, Pty, Signal, programs, records, wait};
use serde_json::json;

/// The stages of `config/chain.toml` with their programs and the nodes of the inventory.
const STAGES: [(&str, &str, &str); 8] = [
    ("rivulet-operator", "convert", "rpi0"),
    ("rivulet-operator", "threshold", "rpi1"),
    ("rivulet-operator", "ewma", "rpi2"),
    ("rivulet-operator", "average", "rpi3"),
    ("rivulet-sink", "out-ewma", "rpi2"),
    ("rivulet-sink", "out-average", "rpi3"),
    ("rivulet-sink", "compare", "rpi0"),
    ("rivulet-producer", "thermometer", "rpi0"),
];

/// How many readings the file of the chain has.
const READINGS: usize = 2922;

/// A run that is watched.
struct Run {
    kafka: Kafka,
    folder: PathBuf,
    pipeline: PathBuf,
    stages: Vec<Process>,
}

impl Run {
    /// Starts the chain, each stage in a process of its own.
    fn start(pipeline: &Path, folder: &Path) -> Self {
        let mut run = Run {
            kafka: Kafka::start(&[]),
            folder: folder.to_owned(),
            pipeline: pipeline.to_owned(),
            stages: Vec::new(),
        };
        Process::start("topics", &mut run.rivulet(&["topics", "create"])).succeeds();
        let mut targets = Vec::new();
        for (program, stage, node) in STAGES {
            let mut command = run.command(program);
            command.arg(stage);
            let (process, endpoint) = Endpoint::start(stage, &mut command, 30);
            let labels = json!({ "stage": stage, "node": node });
            targets.push(json!({ "targets": [endpoint.address()], "labels": labels }));
            run.stages.push(process);
        }
        let file = folder.join("targets.json");
        std::fs::write(file, json!(targets).to_string()).expect("the folder is ours");
        run
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(programs::program(program));
        programs::forget_settings(&mut command);
        command
            .env("RIVULET_PIPELINE", &self.pipeline)
            .env("RIVULET_BROKERS", self.kafka.brokers())
            .current_dir(&self.folder);
        command
    }

    /// Whether so many readings are in the topic of the moving average.
    fn has_read(&self, count: i64) -> bool {
        records::written(&self.kafka.brokers(), "temperatures_moving_average") >= count
    }

    fn rivulet(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("rivulet");
        command.args(arguments);
        command
    }
}

/// Takes a picture of a terminal.
fn terminal(browser: &Browser, pty: &Pty, run: &Run, to: &Path, name: &str) {
    let file = run.folder.join(format!("{name}.html"));
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\">\
         <style>body {{ margin: 0 }} svg {{ display: block }}</style>{}",
        pty.picture()
    );
    std::fs::write(&file, page).expect("the folder is ours");
    let picture = pty.picture();
    let size = |name: &str| {
        let rest = picture.split(&format!(" {name}=\"")).nth(1)?;
        rest.split('"').next()?.parse::<u32>().ok()
    };
    browser.emulate(
        size("width").unwrap_or(800),
        size("height").unwrap_or(600),
        true,
    );
    browser.open(&format!("file://{}", file.display()));
    browser.screenshot_to(to, name);
}

/// Takes a picture of a page that has settled.
fn page(browser: &Browser, to: &Path, name: &str, (width, height, is_dark): (u32, u32, bool)) {
    browser.emulate(width, height, is_dark);
    wait::until_true("the page has drawn its charts", || {
        browser.run(
            "const chart = document.querySelector('.js-plotly-plot');
             return document.readyState === 'complete' && (chart === null ||
                 chart.querySelectorAll('.scatterlayer .js-line').length > 2 &&
                 chart.querySelector('.main-svg').getBoundingClientRect().right <= innerWidth)",
        ) == true
    });
    browser.screenshot_to(to, name);
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pipeline, to] = arguments.as_slice() else {
        eprintln!("usage: pictures PIPELINE FOLDER\nTakes the pictures of the documents.");
        return ExitCode::from(2);
    };
    let to = std::path::absolute(to).expect("the working folder is there");
    let pipeline = std::path::absolute(pipeline).expect("the working folder is there");
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::start(&pipeline, folder.path());
    let browser = Browser::start();

    let watched = ["--targets", "targets.json"];
    let mut web = Process::start(
        "rivulet web",
        run.rivulet(&["web", "--listen", "0"]).args(watched),
    );
    let mut top = Pty::start(
        "rivulet top",
        run.rivulet(&["top"]).args(watched),
        (110, 36),
    );
    let plotted = [
        "temperatures_above_threshold",
        "temperatures_ewma",
        "temperatures_moving_average",
    ];
    let mut plot = Pty::start(
        "rivulet plot",
        run.rivulet(&["plot", "--sensors", "seattle"]).args(plotted),
        (110, 30),
    );
    let url = wait::until(wait::LONG, || {
        let said = web.err() + &web.out();
        let start = said.find("http://")?;
        Some(said[start..].split_whitespace().next()?.to_owned())
    });
    let url = url.unwrap_or_else(|| panic!("it has no address: {}", web.report()));
    top.shows("figures of running stages", |screen| {
        screen.contains("seattle") || screen.contains("new-york")
    });
    plot.shows("a sensor", |screen| screen.contains("seattle"));
    // Close by the lines can be told from each other.
    top.keys("n++++");
    plot.keys("++++");
    browser.emulate(1280, 1900, false);
    browser.open(&format!("{url}?sensor=seattle&latest=16"));
    wait::until_true("there are many readings", || {
        browser.text("body").contains("running") && run.has_read(1500)
    });
    page(&browser, &to, "web-light", (1280, 1900, false));
    page(&browser, &to, "web-dark", (1280, 1900, true));
    browser.emulate(390, 844, false);
    browser.open(&url);
    page(&browser, &to, "web-phone", (390, 844, false));
    terminal(&browser, &top, &run, &to, "top");
    terminal(&browser, &plot, &run, &to, "plot");

    let mut waiting = run.rivulet(&["groups", "--wait", "120"]);
    let _ = records::read(&run.kafka.brokers(), "temperatures_celsius", READINGS);
    Process::start("rivulet groups", &mut waiting).succeeds();
    let report = &mut run.rivulet(&["report", "--targets", "targets.json"]);
    Process::start("rivulet report", report).succeeds();
    let file = run.folder.join("report.html");
    browser.emulate(1000, 1400, false);
    browser.open(&format!("file://{}", file.display()));
    page(&browser, &to, "report", (1000, 1400, false));
    drop(top);
    web.signal(Signal::Terminate);
    ExitCode::SUCCESS
}
