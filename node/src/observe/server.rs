//! The server for `/metrics`, `/livez` and `/readyz`: [`Server`].
//!
//! It answers one short question a connection, in a few threads, and drops whoever is slow to ask.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::{Observer, Readiness, exposition};

/// How many threads answer.
pub(super) const THREADS: usize = 2;
/// How long a question and its answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The size of the largest question, in bytes.
const LARGEST: usize = 8 * 1024;
/// The most headers of a question.
const HEADERS: usize = 64;

const TEXT: &str = "text/plain; charset=utf-8";

/// Answers what monitoring asks.
#[derive(Debug)]
pub(super) struct Server {
    listener: TcpListener,
    /// Whom it answers, beside this machine. Empty: everybody.
    from: Vec<IpNet>,
    observer: Arc<Observer>,
}

struct Answer {
    status: &'static str,
    media_type: &'static str,
    body: String,
}

impl Answer {
    fn text(status: &'static str, body: impl Into<String>) -> Self {
        Answer {
            status,
            media_type: TEXT,
            body: body.into(),
        }
    }
}

impl Server {
    pub(super) fn new(listener: TcpListener, from: Vec<IpNet>, observer: Arc<Observer>) -> Self {
        Server {
            listener,
            from,
            observer,
        }
    }

    /// Answers until the process ends.
    pub(super) fn run(&self) {
        loop {
            let served = self
                .listener
                .accept()
                .and_then(|(connection, peer)| self.serve(connection, peer.ip().to_canonical()));
            if let Err(error) = served {
                tracing::debug!("serving metrics: {error}");
                // If the process has no file descriptors left, accepting fails at once.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn serve(&self, mut connection: TcpStream, peer: IpAddr) -> io::Result<()> {
        connection.set_write_timeout(Some(PATIENCE))?;
        let mut is_head = false;
        let answer = if self.may_ask(peer) {
            match question(&mut connection)? {
                Question::Get(path) => self.answer(&path),
                Question::Head(path) => {
                    is_head = true;
                    self.answer(&path)
                }
                Question::Other => Answer::text("405 Method Not Allowed", "only GET and HEAD\n"),
                Question::Invalid => Answer::text("400 Bad Request", "this is not HTTP\n"),
                Question::TooLarge => Answer::text(
                    "431 Request Header Fields Too Large",
                    "the request is too large\n",
                ),
            }
        } else {
            Answer::text(
                "403 Forbidden",
                "--metrics-from does not contain this address\n",
            )
        };
        let mut head = format!("HTTP/1.1 {}\r\n", answer.status);
        if answer.status.starts_with("405") {
            head.push_str("Allow: GET, HEAD\r\n");
        }
        let _ = write!(
            head,
            "Content-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
            answer.media_type,
            answer.body.len()
        );
        connection.write_all(head.as_bytes())?;
        if !is_head {
            connection.write_all(answer.body.as_bytes())?;
        }
        connection.shutdown(std::net::Shutdown::Write)
    }

    fn may_ask(&self, peer: IpAddr) -> bool {
        let mut from = self.from.iter();
        self.from.is_empty() || peer.is_loopback() || from.any(|network| network.contains(&peer))
    }

    fn answer(&self, path: &str) -> Answer {
        let path = path.split('?').next().unwrap_or_default();
        match path {
            "/metrics" => Answer {
                status: "200 OK",
                media_type: exposition::MEDIA_TYPE,
                body: exposition::of(&self.observer),
            },
            "/readyz" => self.health(|look| look.is_ready, "ready"),
            "/livez" => self.health(|look| !look.is_hung, "live"),
            "/" => Answer::text("200 OK", "/metrics\n/readyz\n/livez\n"),
            _ => Answer::text("404 Not Found", "there are /metrics, /readyz and /livez\n"),
        }
    }

    /// A line for each stage. It is well if `is_well` holds for each that has not ended.
    fn health(&self, is_well: impl Fn(&Readiness) -> bool, word: &str) -> Answer {
        let mut body = String::new();
        let mut all = true;
        for stage in &*self.observer.stages() {
            let look = Readiness::of(stage, self.observer.stalled_after, Instant::now());
            let is_well = is_well(&look);
            all &= is_well || stage.has_ended();
            let not = if is_well { "" } else { "not " };
            let _ = writeln!(body, "{}: {not}{word}: {}", stage.name, look.sentence);
        }
        let status = if all {
            "200 OK"
        } else {
            "503 Service Unavailable"
        };
        Answer::text(status, body)
    }
}

/// What somebody asks.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    Get(String),
    Head(String),
    Other,
    Invalid,
    TooLarge,
}

/// Reads a question.
///
/// # Errors
/// If it does not come in time.
fn question(connection: &mut TcpStream) -> io::Result<Question> {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        connection.set_read_timeout(Some(left))?;
        let mut part = [0; 1024];
        let read = connection.read(&mut part)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&part[..read]);
        if let Some(question) = parse(&bytes) {
            return Ok(question);
        }
    }
}

/// The question in these bytes. `None` if it is not there yet.
fn parse(bytes: &[u8]) -> Option<Question> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() < LARGEST => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Question::TooLarge);
        }
        Ok(httparse::Status::Complete(_)) => (),
        Err(_) => return Some(Question::Invalid),
    }
    let path = request.path.unwrap_or_default().to_owned();
    Some(match request.method {
        Some("GET") => Question::Get(path),
        Some("HEAD") => Question::Head(path),
        _ => Question::Other,
    })
}

#[cfg(test)]
mod tests;
