//! What processes answer, and what becomes of it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use rivulet_pipeline::Text;

use super::*;

const PIPELINE: &str = r#"
prefix = "team7-"
[producer.in]
source = { list = { values = [1] } }
to = "a"
[operator.warm]
from = "a"
steps = [{ threshold = { above = 1 } }]
to = "b"
"#;

fn pipeline() -> Pipeline {
    let text = Text {
        path: "p.toml".into(),
        text: PIPELINE.into(),
    };
    Pipeline::parse(Arc::new(text)).unwrap()
}

fn targets(targets: &[(&str, Option<&str>)]) -> ProcessTargets {
    let targets = targets.iter().map(|(address, stage)| ProcessTarget {
        address: (*address).to_owned(),
        stage: stage.map(str::to_owned),
        node: Some("rpi0".into()),
    });
    ProcessTargets {
        path: "targets.json".into(),
        targets: targets.collect(),
    }
}

/// The address of a server that answers once with these bytes, and then keeps the connection.
fn answers(answer: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = answer.to_vec();
    thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut question = [0; 1024];
        let length = connection.read(&mut question).unwrap();
        assert!(question[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
        // The client may have seen enough.
        let _ = connection.write_all(&answer);
        let _ = connection.read(&mut question);
    });
    address
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// What the stage `warm` says of itself where the process answers with these bytes.
fn said(answer: &[u8]) -> (&'static str, String) {
    let address = answers(answer);
    let found = targets(&[(&address, Some("warm"))]).ask(&pipeline());
    let report = &found.by_stage["warm"][0];
    assert_eq!(
        (&report.target, report.node.as_deref()),
        (&address, Some("rpi0"))
    );
    (report.readiness, report.sentence.clone())
}

#[test]
fn a_process_is_ready_not_ready_or_not_reachable() {
    let said = |answer: &[u8]| {
        let (readiness, sentence) = said(answer);
        format!("{readiness}: {sentence}")
    };
    let ready = http("200 OK", "team7-warm: ready: running, 2 partitions\n");
    assert_eq!(said(&ready), "ready: running, 2 partitions");
    let away = "team7-warm: not ready: waiting: \u{1b}[2Jconnect failed\u{202e}\n";
    assert_eq!(
        said(&http("503 Service Unavailable", away)),
        "not ready: waiting: \\u{1b}[2Jconnect failed\\u{202e}"
    );
    assert_eq!(
        said(&http("403 Forbidden", "no\n")),
        "not reachable: its --metrics-from does not contain this machine"
    );
    assert_eq!(
        said(&http("404 Not Found", "no\n")),
        "not reachable: it answers 404: is it a stage's --metrics?"
    );
    for body in ["", "<html>\n", "team7-warm: fine: so it is\n"] {
        let said = said(&http("200 OK", body));
        assert!(
            said.starts_with("not reachable: its answer is not about stages"),
            "{said}"
        );
    }
    let large = "team7-warm: ready: running\n".repeat(10_000);
    assert_eq!(
        said(&http("200 OK", &large)),
        "not reachable: its answer is too large"
    );
    let elsewhere = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n";
    assert!(said(elsewhere).starts_with("not reachable: "));
    let other = said(b"SSH-2.0-OpenSSH_9.2\r\n");
    assert!(other.starts_with("not reachable: "), "{other}");
}

#[test]
fn processes_are_asked_at_once_and_none_for_long() {
    // They take the connection, and say nothing.
    let silent: Vec<TcpListener> = (0..4)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let addresses: Vec<String> = silent
        .iter()
        .map(|listener| listener.local_addr().unwrap().to_string())
        .collect();
    let mut all: Vec<(&str, Option<&str>)> = addresses
        .iter()
        .map(|address| (address.as_str(), Some("warm")))
        .collect();
    all.push(("127.0.0.1:1", Some("team7-in")));
    let asked = Instant::now();
    let found = targets(&all).ask(&pipeline());
    assert!(asked.elapsed() < 3 * PATIENCE, "{:?}", asked.elapsed());
    for report in &found.by_stage["warm"] {
        let said = (report.readiness, report.sentence.as_str());
        assert_eq!(said, ("not reachable", "no answer within 1 s"));
    }
    assert_eq!(found.by_stage["in"][0].sentence, "Connection refused");
    assert_eq!(found.notes, Vec::<String>::new());
}

#[test]
fn what_does_not_fit_the_pipeline_is_said() {
    let line = |stage: &str| (stage.to_owned(), true, "running".to_owned());
    let asked = [
        ("a:1", Some("warm")),
        ("b:1", Some("wram")),
        ("c:1", None),
        ("d:1", None),
        ("e:1", Some("warm")),
    ];
    let found = targets(&asked).sorted(
        &pipeline(),
        vec![
            Ok(vec![line("team7-warm"), line("old")]),
            Ok(vec![line("team7-in")]),
            Err("no".into()),
            Ok(vec![line("team7-in"), line("team7-warm")]),
            Ok(vec![line("team7-in")]),
        ],
    );
    assert_eq!(
        found.notes,
        [
            "a:1 runs `old`, which is not in the pipeline",
            "targets.json says that b:1 runs `wram`, which is not in the pipeline",
            "c:1 is not reachable: no",
        ]
    );
    let by_stage = found.by_stage.iter().map(|(stage, reports)| {
        let reports = reports.iter();
        let reports = reports.map(|report| format!("{} {}", report.target, report.readiness));
        format!("{stage}: {}", reports.collect::<Vec<_>>().join(", "))
    });
    assert_eq!(
        by_stage.collect::<Vec<_>>(),
        [
            "in: b:1 ready, d:1 ready, e:1 ready",
            "warm: a:1 ready, d:1 ready, e:1 not reachable"
        ]
    );
    assert_eq!(
        found.by_stage["warm"][2].sentence,
        "the process there runs `team7-in`"
    );
}
