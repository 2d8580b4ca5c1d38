//! `rivulet web` in a real browser: what a person sees of a chain that runs on a real Kafka, and
//! what the page must not do.

mod access;
mod figures;

use std::time::Instant;

use rivulet_tests::chain::{add_comparison, chained};
use rivulet_tests::records::{self, Record};
use rivulet_tests::{
    Browser, Endpoint, PipelineBuilder, Process, Scenario, free_port, stop_all, wait,
};
use serde_json::{Value, json};

const ENTER: &str = "\u{e007}";

/// A page that takes it for markup has an image, one that does not care reads it backwards.
const HOSTILE: &str = "<img src=x onerror=alert(1)> \"quoted\" &amp; \u{202e}abc";
/// What it shows of it.
const SHOWN: &str = "<img src=x onerror=alert(1)> \"quoted\" &amp; \\u{202e}abc";

/// The stages that run, in the order of the data flow.
const STAGES: [&str; 5] = ["thermometer", "convert", "threshold", "ewma", "average"];

/// The chain, with a sink that compares, which does not run.
fn scenario() -> Scenario {
    let source = "{ simulated = { sensors = 2, rate = 20, step-ms = 600000, base = 14 } }";
    let pipeline = PipelineBuilder::new().producer("thermometer", source, "temperatures_celsius");
    let scenario = Scenario::new(chained(pipeline));
    add_comparison(&scenario, true, "");
    scenario
}

/// Writes readings in °C, one each ten minutes, as a program would that knows nothing of rivulet.
fn measure(scenario: &Scenario, sensor: &str, readings: std::ops::Range<u32>) {
    let records: Vec<Record> = readings
        .map(|seq| {
            let hours = f64::from(seq) / 6.0;
            // A day and a night, colder than the threshold in the night, and some noise.
            let noise = f64::from((seq * 7919) % 101) / 50.0 - 1.0;
            let value = 13.0 + 6.0 * (hours * std::f64::consts::TAU / 24.0).sin() + noise;
            let time = 1_767_225_600_000_i64 + i64::from(seq) * 600_000;
            let reading = json!({
                "sensor": sensor, "seq": seq, "time": time, "value": value, "unit": "celsius",
            });
            Record::of(reading.to_string()).key(sensor)
        })
        .collect();
    let topic = scenario.in_kafka("temperatures_celsius");
    records::produce(scenario.brokers(), &topic, &records);
}

/// Starts a stage with its metrics at this port.
fn start(scenario: &Scenario, stage: &str, port: u16) -> (Process, Endpoint) {
    let mut command = scenario.stage(stage, "a");
    command.args(["--metrics", &port.to_string(), "--stalled-after", "30"]);
    let process = Process::start(stage, &mut command);
    let endpoint = Endpoint::of(&process);
    (process, endpoint)
}

/// Starts all stages, and writes the list of their processes.
fn start_all(scenario: &Scenario) -> (Vec<Process>, Vec<u16>) {
    let ports: Vec<u16> = STAGES.iter().map(|_| free_port()).collect();
    let stages = STAGES.iter().zip(&ports);
    let started = stages.map(|(stage, port)| start(scenario, stage, *port).0);
    let processes = started.collect();
    let targets = STAGES
        .iter()
        .zip(&ports)
        .zip(0..)
        .map(|((stage, port), node)| {
            let labels =
                json!({ "stage": scenario.name(stage), "node": format!("rpi{}", node % 4) });
            json!({ "targets": [format!("127.0.0.1:{port}")], "labels": labels })
        });
    let targets: Vec<Value> = targets.collect();
    scenario.write("targets.json", json!(targets).to_string());
    (processes, ports)
}

/// Starts the page with these options. Returns its address, with the token if it has one.
fn open(scenario: &Scenario, options: &[&str]) -> (Process, String) {
    let options = [&["web", "--targets", "targets.json"], options].concat();
    let web = scenario.rivulet(&options);
    let url = wait::until(wait::LONG, || {
        let said = web.err();
        let (_, rest) = said.split_once("the page of the pipeline is at ")?;
        Some(rest.split_once('\n')?.0.to_owned())
    });
    let url = url.unwrap_or_else(|| panic!("it says no address: {}", web.report()));
    (web, url)
}

/// The texts of the cells of the row that begins with this.
fn row(browser: &Browser, table: &str, first: &str) -> Option<Vec<String>> {
    let rows = browser.run(&format!(
        "return [...document.querySelectorAll('#{table} tbody tr')]
             .map((row) => [...row.cells].map((cell) => cell.textContent))"
    ));
    let rows: Vec<Vec<String>> = serde_json::from_value(rows).expect("cells are text");
    rows.into_iter().find(|row| row[0] == first)
}

/// A number as a person reads it, without its unit.
fn number(text: &str) -> f64 {
    let of_number = |c: &char| c.is_ascii_digit() || "−.\u{2009}".contains(*c);
    let number: String = text.chars().take_while(of_number).collect();
    let number = number.replace('−', "-").replace('\u{2009}', "");
    number
        .parse()
        .unwrap_or_else(|_| panic!("`{text}` is no number"))
}

fn choose(browser: &Browser, part: &str) {
    browser.type_into("#search", part);
    wait::until_true("the sensor is found", || {
        browser.run("return document.querySelectorAll('#found [role=option]').length") == 1
    });
    browser.type_into("#search", ENTER);
}

/// The page fits a screen of this width, without scrolling sideways.
fn fits(browser: &Browser, width: u32) {
    wait::until_true("the page fits the screen", || {
        let fits = browser.run(&format!(
            "const chart = document.querySelector('#chart .main-svg')?.getBoundingClientRect();
             const below = document.querySelector('#values').getBoundingClientRect();
             return document.documentElement.scrollWidth <= {width} && chart?.right <= {width}
                 && chart.width > {width} / 2 && chart.bottom <= below.top"
        ));
        fits == Value::Bool(true)
    });
}

#[test]
fn the_page_shows_a_chain_live_to_everybody() {
    let scenario = scenario();
    let (mut stages, ports) = start_all(&scenario);
    measure(&scenario, "seattle", 0..700);
    measure(&scenario, HOSTILE, 0..300);
    let (mut web, url) = open(&scenario, &["--listen", "0"]);
    let browser = Browser::start();
    browser.emulate(1360, 900, false);
    browser.open(&format!("{url}?sensor=sensor0"));
    wait::until_true("the page is live", || browser.text("#state") == "Live");
    for stage in STAGES {
        wait::until_true("each stage is seen at work", || {
            row(&browser, "stages", &scenario.name(stage))
                .is_some_and(|row| row[2] == "running" && row[4].ends_with("/s"))
        });
    }

    // A record that is no reading, and shows itself as what it is.
    let topic = scenario.in_kafka("temperatures_celsius");
    let invalid = Record::of("<i>no reading</i>").key("seattle");
    records::produce(scenario.brokers(), &topic, &[invalid]);
    wait::until_true("the dead letter is counted", || {
        row(&browser, "reasons", &scenario.name("convert")).is_some_and(|row| row[2] == "1")
    });
    assert!(
        browser
            .text("#last-dead tbody")
            .contains("<i>no reading</i>")
    );

    // What others wrote is text, also in the legend and in the list.
    choose(&browser, "img");
    browser.click("#chips button");
    let chips = || browser.text("#chips");
    wait::until_true("the sensor is the only one", || {
        chips().starts_with("<img src=x on")
    });
    wait::until_true("its values are shown", || {
        row(&browser, "values", SHOWN).is_some()
    });
    wait::until_true("it is drawn", || {
        browser
            .text("#chart .annotation-text")
            .starts_with("<img src=x onerror")
    });
    assert_eq!(
        browser.run("return document.querySelectorAll('img, b').length"),
        0
    );

    choose(&browser, "seattle");
    wait::until_true("both sensors are drawn", || {
        browser.run("return document.querySelectorAll('#chart .cartesianlayer .subplot').length")
            == 2
    });
    browser.screenshot("web-two");
    browser.click("#chips button");
    wait::until_true("the sensor is another one", || {
        chips().starts_with("seattle")
    });
    figures::are_those_of_the_topics(&scenario, &browser, "seattle");
    figures::are_finer_when_zoomed_in(&browser);

    for (name, width, is_dark) in [
        ("light", 1360, false),
        ("dark", 1360, true),
        ("phone", 360, false),
        ("phone-dark", 360, true),
    ] {
        browser.emulate(width, 900, is_dark);
        fits(&browser, width);
        assert_eq!(browser.barriers(), Vec::<String>::new(), "{name}");
        browser.whole_screenshot(&format!("web-{name}"), width, is_dark);
    }
    browser.emulate(1360, 900, false);
    fits(&browser, 1360);
    browser.hover("#chart");
    wait::until_true("the numbers under the mouse are shown", || {
        browser.text(".hoverlayer").contains("EWMA : ")
    });
    browser.screenshot("web-hover");

    // A stage goes, and comes back.
    let name = scenario.name("average");
    let is = |state: &str| {
        let seen = row(&browser, "stages", &name);
        seen.is_some_and(|row| row[2] == state)
    };
    stages[4].kill();
    let killed = Instant::now();
    wait::until_true("it is seen down", || is("down"));
    eprintln!("seen down after {:?}", killed.elapsed());
    browser.click(&format!("[aria-label^='{name},']"));
    assert!(browser.text("#sentence").contains("not reachable"));
    browser.screenshot("web-down");
    let (again, endpoint) = start(&scenario, "average", ports[4]);
    stages[4] = again;
    let _ = endpoint.until_ready(true);
    let ready = Instant::now();
    wait::until_true("it is seen running", || is("running"));
    eprintln!("seen running after {:?}", ready.elapsed());
    browser.check_clean(&url);

    // So does the page's own program.
    web.kill();
    wait::until_true("the page says that the program is gone", || {
        browser.text("#state").starts_with("No answer since ")
    });
    let port = url
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .expect("a URL has a port");
    let (_web, again) = open(&scenario, &["--listen", port]);
    assert_eq!(again, url);
    wait::until_true("the page is live again", || {
        browser.text("#state") == "Live" && row(&browser, "values", "seattle").is_some()
    });
    stop_all(&mut stages);
}
