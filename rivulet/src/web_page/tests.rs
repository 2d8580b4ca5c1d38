use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use rivulet_core::reading::Reading;
use serde_json::{Value, json};

use super::*;
use crate::checked::tests::parse;
use crate::live::LiveTopics;
use crate::look;

const FILE: &str = r#"
[producer.in]
source = { list = { values = [1] } }
to = ["warm", "ewma", "average"]
[sink.compare]
from = ["ewma", "average", "warm"]
sink = { compare = { ewma = "ewma", average = "average", input = "warm" } }
"#;

fn page() -> (PipelinePage, Arc<Live>) {
    let pipeline = parse(FILE).unwrap();
    let live = Arc::new(Live::new(LiveTopics::of_pipeline(&pipeline, None).unwrap()));
    let token = AccessToken::of_bits(7);
    let about = PageAbout::pipeline(&pipeline);
    let page = PipelinePage::start(&about, live.clone(), ListenAddress::loopback(0), token);
    (page.unwrap(), live)
}

fn add(live: &Live, topic: usize, sensor: &str, time: i64, value: f64) {
    let reading = Reading {
        sensor: sensor.into(),
        seq: 0,
        time,
        value,
        unit: None,
    };
    live.readings().add(topic, 0, &reading);
}

fn ask(page: &PipelinePage, path: &str) -> BufReader<TcpStream> {
    let mut connection = TcpStream::connect(page.server.address()).unwrap();
    let limit = Some(Duration::from_secs(20));
    connection.set_read_timeout(limit).unwrap();
    write!(connection, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    BufReader::new(connection)
}

/// The status and everything after it.
fn answer(page: &PipelinePage, path: &str) -> (String, String) {
    let mut text = String::new();
    ask(page, path).read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().to_owned();
    (status, text)
}

/// The next event of a stream.
fn next(stream: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "it has ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

#[test]
fn an_event_has_what_has_changed_and_no_more() {
    let (page, live) = page();
    let name = "<b>\u{202e}\"\r\n";
    for time in 0..100 {
        add(&live, 0, name, time, 1_234_567.89);
        add(&live, 1, name, time, 1.0);
        add(&live, 2, name, time, 0.5);
    }
    let mut stream = ask(
        &page,
        "/events?sensor=%3Cb%3E%E2%80%AE%22%0D%0A&columns=100",
    );
    let first = next(&mut stream);
    let part = |event: &Value, name: &str| {
        let parts = event["parts"].as_array().unwrap().iter();
        let found = parts.clone().find(|part| part[0] == name);
        found.map(|part| part[1].clone())
    };
    assert_eq!(part(&first, "sensors"), Some(json!([name])));
    assert_eq!(part(&first, "about").unwrap()["topics"][1]["side"], "ewma");
    let lines = &first["charts"][0]["lines"];
    assert_eq!(lines[0]["points"][3].as_array().unwrap().len(), 200);
    assert_eq!(lines[0]["said"], json!([null, 100, [99, 1_234_570.0]]));
    assert_eq!(first["charts"][0]["figures"]["mean"][0], 0.5);
    assert_eq!(first["table"]["rows"][0][0], name);
    let second = next(&mut stream);
    let nothing = json!({"lines": [{}, {}, {}]});
    assert_eq!(second, json!({"parts": [], "charts": [nothing]}));
    add(&live, 0, name, 100, 2.0);
    let third = next(&mut stream);
    let lines = &third["charts"][0]["lines"];
    // A hundred columns are two milliseconds wide then.
    assert_eq!(lines[0]["said"], json!([null, 101, [100, 2.0]]));
    assert_eq!(part(&third, "sensors"), None);
}

/// A thousand sensors measure. Each viewer sees four of them.
#[test]
fn a_viewer_costs_a_few_kilobytes_a_second() {
    const SENSORS: usize = 1000;
    let (page, live) = page();
    let measure = |times: std::ops::Range<i64>| {
        for time in times {
            for sensor in 0..SENSORS {
                for topic in 0..3 {
                    let value = (time * 7919 % 1013) as f64 / 10.0;
                    add(&live, topic, &format!("sensor{sensor}"), time * 1000, value);
                }
            }
        }
    };
    measure(0..300);
    let names: Vec<String> = (0..4)
        .map(|number| format!("sensor=sensor{number}&"))
        .collect();
    let query = format!("/events?{}columns=100", names.concat());
    let mut streams: Vec<_> = (0..50).map(|_| ask(&page, &query)).collect();
    let first = next(&mut streams[0]).to_string().len();
    assert!(first > 20_000, "{first}");
    for stream in &mut streams[1..] {
        next(stream);
    }
    let mut most = 0;
    for turn in 0..3 {
        let begin = 300 + turn * 10;
        measure(begin..begin + 10);
        for stream in &mut streams {
            let mut event = next(stream);
            // It comes each five seconds.
            event.as_object_mut().unwrap().remove("table");
            most = most.max(event.to_string().len());
        }
    }
    assert!(most < 3000, "{most}");
}

#[test]
fn whoever_is_one_too_many_is_told_so() {
    let (page, _live) = page();
    let mut streams: Vec<_> = (0..100).map(|_| ask(&page, "/events")).collect();
    for stream in &mut streams {
        next(stream);
    }
    let (status, text) = answer(&page, "/events");
    assert!(
        status == "503" && text.contains("try again later"),
        "{text}"
    );
    streams.clear();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let mut head = String::new();
        ask(&page, "/events").read_line(&mut head).unwrap();
        if head.contains(" 200 ") {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "no place is free again"
        );
    }
}

#[test]
fn a_wrong_query_is_answered_with_a_sentence() {
    let (page, _live) = page();
    for query in ["x", "columns=a", "sensor=%ff", "from=1", "%"] {
        let (status, text) = answer(&page, &format!("/events?{query}"));
        assert!(status == "400" && text.ends_with('\n'), "{query}: {text}");
    }
}

#[test]
fn the_page_asks_for_what_the_server_has() {
    let (page, _live) = page();
    let scripts = [
        "page", "chart", "graph", "picker", "stream", "tables", "text",
    ];
    let scripts = scripts.map(|name| answer(&page, &format!("/{name}.js")).1);
    let (_, html) = answer(&page, "/");
    for text in scripts.iter().chain([&html]) {
        let quoted = text.split('"').skip(1);
        let files = quoted.filter(|text| {
            let is_file = [".js", ".css"].iter().any(|end| text.ends_with(end));
            is_file && !text.contains(' ')
        });
        for file in files {
            let path = format!("/{}", file.trim_start_matches("./"));
            assert_eq!(answer(&page, &path).0, "200", "{path}");
        }
    }
}

#[test]
fn a_line_has_the_same_colour_as_everywhere() {
    let css = include_str!("static/page.css");
    let (light, dark) = css.split_once("prefers-color-scheme: dark").unwrap();
    let named = [
        ("ewma", look::EWMA),
        ("average", look::AVERAGE),
        ("input", look::INPUT),
    ];
    for (name, colours) in named {
        assert!(
            light.contains(&format!("--{name}: {};", colours.light)),
            "{name}"
        );
        assert!(
            dark.contains(&format!("--{name}: {};", colours.dark)),
            "{name}"
        );
    }
    for (index, colours) in look::OTHERS.iter().enumerate() {
        let name = format!("--other-{index}");
        assert!(
            light.contains(&format!("{name}: {};", colours.light)),
            "{name}"
        );
        assert!(
            dark.contains(&format!("{name}: {};", colours.dark)),
            "{name}"
        );
    }
}
