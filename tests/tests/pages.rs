//! The page of the experiments, in a real browser: what a person sees, and what the page must not
//! do.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use rivulet::experiment::{EventCounts, ExperimentPage};
use rivulet_producer::experiment::hash::SecretKey;
use rivulet_producer::experiment::plan::read_load;
use rivulet_producer::experiment::{ExperimentOptions, ExperimentSource};
use rivulet_producer::source::{Next, Source};
use rivulet_tests::{Browser, wait};
use serde_json::{Value, json};

/// The second load of a course, in a fraction of its time: how many events a second the first
/// experiment sends in each step, and all.
const STEPS: [(f64, f64); 3] = [(10.0, 10.0), (10.0, 50.0), (10.0, 10.0)];
/// How long a step takes, in seconds. The last one goes on until the feeder is stopped.
const LENGTH: f64 = 5.0;

/// Two sensors that measure every 200 ms, and eight more for the second step.
const LOAD: &str = r#"[
  { "start_time": 0, "researcher": "ada", "num_sensors": 2, "sample_rate": 200,
    "carry_out_samples": 10000 },
  { "start_time": 5, "researcher": "bob", "num_sensors": 8, "sample_rate": 200,
    "stabilization_samples": 5, "carry_out_samples": 20 }
]"#;

const FIRST: &str = "5f0c6c8e-4f3b-4c6a-9a53-0f2d1c7b9e10";
/// A page that takes a name for markup shows it in bold, or asks for the image.
const SECOND: &str = "<b>b</b><img src=//example.org onerror=alert(1)>&amp;";

/// Runs the experiments, and counts their events, until it is stopped. The keys are not theirs.
fn feed(mut source: ExperimentSource, counts: &EventCounts, stopped: &Receiver<()>) {
    let mut first = None;
    while stopped.try_recv() == Err(TryRecvError::Empty) {
        let next = source.next(Duration::from_millis(20));
        if let Next::Record(record) = next.unwrap_or_else(|error| panic!("{error}")) {
            let key = record.key.unwrap_or_default().into_owned();
            let is_first = *first.get_or_insert_with(|| key.clone()) == key;
            counts.count(if is_first { FIRST } else { SECOND }, "experiment");
        }
        counts.set_running(source.running());
    }
}

/// The experiments of the load.
fn experiments() -> ExperimentSource {
    let folder = tempfile::tempdir().expect("a folder");
    let load = folder.path().join("load.json");
    fs::write(&load, LOAD).expect("it is written");
    let options = ExperimentOptions {
        plans: read_load(&load).unwrap_or_else(|error| panic!("{error}")),
        key: SecretKey::new("0123456789abcdefghijklmnopqrstuv").expect("it has 32 characters"),
        topic: None,
        document_topic: None,
        truth_log: None,
        seed: None,
    };
    ExperimentSource::new(options).unwrap_or_else(|error| panic!("{error}"))
}

fn is_near(rate: f64, expected: f64) -> bool {
    (rate - expected).abs() <= 0.2 * expected
}

/// The points of a line of the chart, as seconds and rates.
fn points(browser: &Browser, line: usize) -> Vec<(f64, f64)> {
    let list = |axis: &str| {
        let list = browser.run(&format!(
            "return [...(document.getElementById('chart').data?.[{line}]?.{axis} ?? [])]"
        ));
        list.as_array().cloned().unwrap_or_default()
    };
    // In this order: the second may have one more.
    let (seconds, rates) = (list("x"), list("y"));
    let both = seconds.iter().zip(&rates);
    both.filter_map(|(second, rate)| Some((second.as_f64()?, rate.as_f64()?)))
        .collect()
}

/// The number in an element, as a person reads it.
fn number(browser: &Browser, selector: &str) -> Option<f64> {
    browser.text(selector).replace(',', "").parse().ok()
}

#[test]
fn the_page_shows_the_steps_of_the_rate_live() {
    let browser = Browser::start();
    let counts = Arc::new(EventCounts::default());
    let page = ExperimentPage::start("0".parse().expect("a port"), "--page", counts.clone())
        .unwrap_or_else(|error| panic!("{error}"));
    let opened = Instant::now();
    let url = page.url();
    browser.emulate(1280, 800, false);
    browser.open(&url);
    let (stop, stopped) = mpsc::channel();
    let begun = opened.elapsed().as_secs_f64();
    let feeder = thread::spawn(move || feed(experiments(), &counts, &stopped));

    // Live: each step is on the page while it lasts.
    for (running, (first, all)) in ["1", "2", "1"].into_iter().zip(STEPS) {
        wait::until_true("the rate of the next step is shown", || {
            browser.text("#running") == running
                && number(&browser, "#rate").is_some_and(|rate| is_near(rate, all))
                && number(&browser, "tbody tr:nth-child(1) td")
                    .is_some_and(|rate| is_near(rate, first))
        });
    }

    // The history: the points within a step have its rate.
    wait::until_true("the points within each step have its rate", || {
        let all = points(&browser, 0);
        (0_u8..).zip(STEPS).all(|(number, (_, rate))| {
            let begin = begun + f64::from(number) * LENGTH;
            let within = all
                .iter()
                .filter(|(end, _)| (begin + 1.0..begin + LENGTH).contains(end));
            let mut rates: Vec<f64> = within.map(|(_, rate)| *rate).collect();
            rates.sort_by(f64::total_cmp);
            // One or the other may be off, if the machine is busy.
            rates.len() >= 3 && is_near(rates[rates.len() / 2], rate)
        })
    });
    drop(stop);
    feeder.join().expect("it counts until it is stopped");

    // What others wrote is text.
    let names =
        browser.run("return [...document.querySelectorAll('tbody th')].map(e => e.innerText)");
    assert_eq!(names, json!([format!("● {FIRST}"), format!("● {SECOND}")]));
    let legend = browser.run(
        "return [...document.querySelectorAll('.legendtext')].map((entry) => entry.textContent)",
    );
    assert_eq!(legend, json!(["total", "5f0c6c8e…9e10", "<b>b</b>…amp;"]));
    assert_eq!(
        browser.run("return document.querySelectorAll('img, b').length"),
        0
    );

    browser.hover("#chart");
    wait::until_true("the numbers under the mouse are shown", || {
        browser.text(".hoverlayer").contains("total : ")
    });
    browser.screenshot("experiment-hover");

    // The chart is there to see, on any screen.
    for (name, width, is_dark) in [
        ("light", 1280, false),
        ("dark", 1280, true),
        ("phone", 390, false),
        ("phone-dark", 390, true),
    ] {
        browser.emulate(width, 800, is_dark);
        wait::until_true("the chart fits the screen", || {
            let fits = browser.run(
                "const chart = document.querySelector('#chart .main-svg').getBoundingClientRect();
                 const lines = document.querySelectorAll('.scatterlayer .js-line');
                 const line = lines[0].getBoundingClientRect();
                 return chart.width > 300 && line.width > 150 && line.height > 50 &&
                     chart.right <= innerWidth && document.body.scrollWidth <= innerWidth &&
                     lines.length == 3",
            );
            fits == Value::Bool(true)
        });
        browser.screenshot(&format!("experiment-{name}"));
    }
    let image = browser.run("return Plotly.toImage('chart').then((image) => image.slice(0, 15))");
    assert_eq!(image, "data:image/png;");
    let broken = browser.run("return broken([1, 2, 9], [5, 6, 7])");
    assert_eq!(broken, json!({ "x": [1, 2, 5.5, 9], "y": [5, 6, null, 7] }));
    browser.check_clean(&url);

    // The process goes, and comes back at the same address.
    drop(page);
    wait::until_true("the page says that the process is gone", || {
        browser.text("#state").contains("has not answered since")
    });
    browser.screenshot("experiment-gone");
    let port = url
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .expect("a URL has a port");
    let counts = Arc::new(EventCounts::default());
    counts.count("again", "experiment");
    let again = ExperimentPage::start(port.parse().expect("a port"), "--page", counts);
    let again = again.unwrap_or_else(|error| panic!("{error}"));
    wait::until_true("the page shows the next process", || {
        browser.text("#state") == "Live" && browser.text("tbody th") == "● again"
    });
    drop(again);
}
