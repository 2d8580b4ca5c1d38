use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;

use rivulet_core::listen_address::ListenAddress;
use rivulet_core::metrics::{Activity, Metrics, TroubleKind};

use super::*;
use crate::observe::testing::stage;

/// A server with a stage that runs. Its threads end with the tests.
fn server(from: &[&str]) -> (SocketAddr, Arc<Metrics>) {
    let (stage, metrics, _) = stage("convert");
    metrics.health.enter(Activity::Running);
    let observer = Arc::new(Observer {
        stages: Mutex::new(vec![stage]),
        stalled_after: Duration::from_secs(30),
        memory_limit: 64_000_000,
    });
    let listen = ListenAddress::loopback(0);
    let (listener, address) = listen.bind("the metrics", "--metrics").unwrap();
    let from = from.iter().map(|network| network.parse().unwrap());
    let server = Server::new(listener, from.collect(), observer);
    thread::spawn(move || server.run());
    (address, metrics)
}

fn send(address: SocketAddr, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    connection.write_all(request).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

fn get(address: SocketAddr, path: &str) -> String {
    send(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: rpi0:9464\r\n\r\n").as_bytes(),
    )
}

#[test]
fn each_path_has_an_answer() {
    let (address, metrics) = server(&[]);
    let ready = get(address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200 OK\r\n"), "{ready}");
    assert!(
        ready.contains("\r\n\r\nconvert: ready: running, "),
        "{ready}"
    );
    assert!(get(address, "/livez?verbose").contains("convert: live: running"));
    let found = get(address, "/metrics");
    assert!(
        found.contains("Content-Type: text/plain; version=0.0.4"),
        "{found}"
    );
    assert!(
        found.contains("\nrivulet_ready{stage=\"convert\"} 1.0\n"),
        "{found}"
    );
    assert!(get(address, "/").contains("/readyz"));
    assert!(get(address, "/secret").starts_with("HTTP/1.1 404 "));

    metrics.health.assigned();
    metrics
        .health
        .report(TroubleKind::Topic, "the topic a\r\n\r\nb does not exist");
    let unready = get(address, "/readyz");
    assert!(
        unready.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{unready}"
    );
    assert!(
        unready.contains("convert: not ready: running, ")
            && unready.contains("the topic a\\r\\n\\r\\nb does not exist, for 0 s, since "),
        "{unready}"
    );
    assert!(get(address, "/livez").starts_with("HTTP/1.1 200 "));
    // Stages that have ended need not be ready.
    metrics.health.enter(Activity::Stopped);
    let ended = get(address, "/readyz");
    assert!(ended.starts_with("HTTP/1.1 200 "), "{ended}");
    assert!(ended.contains("convert: not ready: ended"), "{ended}");
}

#[test]
fn only_short_questions_are_answered() {
    let (address, _) = server(&[]);
    let head = send(address, b"HEAD /readyz HTTP/1.0\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let post = send(address, b"POST /metrics HTTP/1.1\r\n\r\n");
    assert!(
        post.starts_with("HTTP/1.1 405 ") && post.contains("Allow: GET, HEAD"),
        "{post}"
    );
    assert!(send(address, b"\x16\x03\x01\x02\x00\x01\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let mut many = b"GET / HTTP/1.1\r\n".to_vec();
    many.extend(b"a: b\r\n".repeat(HEADERS + 1));
    assert!(send(address, &many).starts_with("HTTP/1.1 431 "));
}

#[test]
fn somebody_slow_is_dropped() {
    let (address, _) = server(&[]);
    let mut slow = TcpStream::connect(address).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    slow.write_all(b"GET /").unwrap();
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer);
    assert!(answer.is_empty());
    assert!(get(address, "/readyz").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_network_is_let_in_and_this_machine_always() {
    let (address, _) = server(&["10.42.0.0/24"]);
    assert!(get(address, "/readyz").starts_with("HTTP/1.1 200 "));
    let (stage, ..) = stage("convert");
    let observer = Arc::new(Observer {
        stages: Mutex::new(vec![stage]),
        stalled_after: Duration::from_secs(30),
        memory_limit: 0,
    });
    let (listener, _) = ListenAddress::loopback(0).bind("", "").unwrap();
    let server = Server::new(listener, vec!["10.42.0.0/24".parse().unwrap()], observer);
    for (peer, may) in [
        ("10.42.0.1", true),
        ("10.42.1.1", false),
        ("127.0.0.1", true),
        ("::1", true),
        ("fd00::1", false),
    ] {
        assert_eq!(server.may_ask(peer.parse().unwrap()), may, "{peer}");
    }
}
