use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use miniz_oxide::inflate::decompress_to_vec;

use rivulet_core::error::Kind;

use super::*;

/// A server on a free port of the loopback interface.
fn server() -> WebServer {
    let routes = Router::new().route("/", asset("text/html; charset=utf-8", "<p>A page</p>"));
    WebServer::start("the page", ListenAddress::loopback(0), "--page", routes).unwrap()
}

/// The head and the body of the answer to a request of this line and these headers.
fn ask(address: SocketAddr, line: &str, headers: &str) -> (String, Vec<u8>) {
    let mut connection = TcpStream::connect(address).unwrap();
    connection
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        connection,
        "{line} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head.to_lowercase(), answer[end + 4..].to_vec())
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

#[test]
fn a_page_is_shown_and_its_head_is_the_same_without_it() {
    let server = server();
    let (head, body) = ask(server.address(), "GET /", "Host: localhost\r\n");
    assert_eq!((status(&head), &body[..]), ("200", &b"<p>A page</p>"[..]));
    assert!(
        head.contains("content-type: text/html; charset=utf-8"),
        "{head}"
    );
    let (head, body) = ask(server.address(), "HEAD /", "Host: localhost\r\n");
    assert_eq!((status(&head), &body[..]), ("200", &b""[..]));
    assert!(head.contains("content-length: 13"), "{head}");
}

#[test]
fn what_is_missing_or_would_change_something_is_rejected() {
    let server = server();
    for (line, expected) in [
        ("GET /no", "404"),
        ("GET /../Cargo.toml", "404"),
        ("GET /%00", "404"),
        ("POST /", "405"),
        ("DELETE /no", "405"),
        ("OPTIONS *", "405"),
        ("WHATEVER /plotly.min.js", "405"),
    ] {
        let (head, _) = ask(server.address(), line, "Host: localhost\r\n");
        assert_eq!(status(&head), expected, "{line}: {head}");
        assert_eq!(
            head.contains("allow: get, head"),
            expected == "405",
            "{head}"
        );
    }
}

#[test]
fn every_answer_has_headers_that_protect_its_reader() {
    let server = server();
    for (line, host) in [
        ("GET /", "localhost"),
        ("GET /plotly.min.js", "localhost"),
        ("GET /no", "localhost"),
        ("POST /", "localhost"),
        ("GET /", "example.org"),
    ] {
        let (head, _) = ask(server.address(), line, &format!("Host: {host}\r\n"));
        let policy = head
            .lines()
            .find(|line| line.starts_with("content-security-policy: "));
        let policy = policy.unwrap_or_else(|| panic!("{line}: {head}"));
        assert!(
            policy.contains(" default-src 'none'; script-src 'self'; "),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(
            !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(head.contains("referrer-policy: no-referrer"), "{head}");
        let stored = if line.contains("plotly") {
            "public, max-age="
        } else {
            "no-store"
        };
        assert!(
            head.contains(&format!("cache-control: {stored}")),
            "{line}: {head}"
        );
    }
}

#[test]
fn the_site_of_somebody_else_does_not_lead_here() {
    let server = server();
    let (head, body) = ask(server.address(), "GET /", "Host: example.org:80\r\n");
    assert_eq!(status(&head), "421");
    assert!(String::from_utf8(body).unwrap().contains("localhost"));
}

#[test]
fn whoever_has_no_token_sees_only_the_form() {
    let everywhere: ListenAddress = "0.0.0.0:0".parse().unwrap();
    let routes = Router::new().route("/", asset("text/plain", "A page"));
    let token = AccessToken::new("0123456789abcdef").unwrap();
    let server =
        WebServer::start_with_token("the page", everywhere, "--page", routes, token).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
    for line in [
        "GET /",
        "GET /plotly.min.js",
        "GET /no",
        "HEAD /?token=guess",
    ] {
        let (head, body) = ask(address, line, "Host: rpi0\r\n");
        assert_eq!(status(&head), "401", "{line}: {head}");
        assert!(
            head.contains("form-action 'self'") && !head.contains("script-src"),
            "{head}"
        );
        assert!(head.contains("cache-control: no-store"), "{head}");
        assert!(!String::from_utf8(body).unwrap().contains("A page"));
    }
    assert_eq!(status(&ask(address, "GET /token.css", "").0), "200");
    assert_eq!(
        status(&ask(address, "POST /?token=0123456789abcdef", "").0),
        "405"
    );
    let (head, _) = ask(address, "GET /?token=0123456789abcdef", "");
    assert!(
        status(&head) == "303" && head.contains("location: /\r\n"),
        "{head}"
    );
    let cookie = format!(
        "Cookie: rivulet-token-{}=0123456789abcdef\r\n",
        address.port()
    );
    assert_eq!(ask(address, "GET /", &cookie).1, b"A page");
}

#[test]
fn on_this_machine_nobody_needs_the_token() {
    let routes = Router::new().route("/", asset("text/plain", "A page"));
    let token = AccessToken::of_bits(1);
    let here = ListenAddress::loopback(0);
    let server = WebServer::start_with_token("the page", here, "--page", routes, token).unwrap();
    let (_, body) = ask(server.address(), "GET /", "Host: localhost\r\n");
    assert_eq!(body, b"A page");
}

#[test]
fn the_script_is_the_same_with_and_without_gzip() {
    let server = server();
    let (head, plain) = ask(
        server.address(),
        "GET /plotly.min.js",
        "Host: localhost\r\n",
    );
    assert!(head.contains("content-type: text/javascript"), "{head}");
    assert!(!head.contains("content-encoding"), "{head}");
    assert!(plain.starts_with(b"/**\n* plotly.js v"));
    let asked = "Host: localhost\r\nAccept-Encoding: gzip, br\r\n";
    let (head, gzip) = ask(server.address(), "GET /plotly.min.js", asked);
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(decompress_to_vec(&gzip[10..gzip.len() - 8]).unwrap() == plain);
}

#[test]
fn a_port_that_is_taken_is_named_with_the_option() {
    let first = server();
    let taken = ListenAddress::loopback(first.address().port());
    let error = WebServer::start("the page", taken, "--page", Router::new()).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let error = error.to_string();
    assert!(
        error.contains(&format!("opening the page at {taken}: ")),
        "{error}"
    );
    assert!(error.contains("name another port with --page"), "{error}");
}

#[test]
fn an_address_of_another_machine_is_an_error_of_usage() {
    // Kept for documents, so no machine has it.
    let elsewhere: ListenAddress = "192.0.2.1:8080".parse().unwrap();
    let error = WebServer::start("the page", elsewhere, "--page", Router::new()).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("192.0.2.1:8080"), "{error}");
}

#[test]
fn a_dropped_server_is_gone_whoever_still_listens() {
    let server = server();
    let address = server.address();
    // A connection that never ends by itself, as that of a stream of events.
    let mut kept = TcpStream::connect(address).unwrap();
    write!(kept, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(kept.read(&mut [0; 9]).unwrap() > 0);
    drop(server);
    assert!(TcpStream::connect(address).is_err());
    assert!(kept.read_to_end(&mut Vec::new()).is_ok());
    // And its port can be used again at once.
    let again = ListenAddress::loopback(address.port());
    WebServer::start("the page", again, "--page", Router::new()).unwrap();
}

#[test]
fn a_url_leads_to_this_machine() {
    for (address, expected) in [
        ("127.0.0.1:80", "http://127.0.0.1:80/"),
        ("0.0.0.0:80", "http://127.0.0.1:80/"),
        ("[::]:80", "http://[::1]:80/"),
        ("10.0.0.1:80", "http://10.0.0.1:80/"),
    ] {
        assert_eq!(url(address.parse().unwrap()), expected);
    }
}
