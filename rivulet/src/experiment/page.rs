//! The page of the experiments: [`ExperimentPage`].

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rivulet_core::error::{Error, Result};
use rivulet_core::listen_address::ListenAddress;
use rivulet_web::extract::State;
use rivulet_web::http::header::CONTENT_TYPE;
use rivulet_web::response::IntoResponse;
use rivulet_web::routing::get;
use rivulet_web::{Router, WebServer, asset};
use serde::Serialize;

use super::counts::EventCounts;
use super::rates::{RateHistory, RateTable};

/// The time between two samples.
const PERIOD: Duration = Duration::from_secs(1);

/// A page that shows how many events a second are sent, and `/metrics` for Prometheus. Both are
/// there until this is dropped.
#[derive(Debug)]
pub struct ExperimentPage {
    server: WebServer,
    _sampler: Sampler,
}

/// The thread that takes a sample each second. It ends when this is dropped.
#[derive(Debug)]
struct Sampler {
    /// The thread ends when it is gone.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    counts: Arc<EventCounts>,
    history: Mutex<RateHistory>,
}

/// What the page asks for each second.
#[derive(Serialize)]
struct Rates {
    running: i64,
    #[serde(flatten)]
    table: RateTable,
}

impl ExperimentPage {
    /// Opens the page. `option` is the one that sets the address, for errors.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub fn start(listen: ListenAddress, option: &str, counts: Arc<EventCounts>) -> Result<Self> {
        let shared = Arc::new(Shared {
            counts,
            history: Mutex::new(RateHistory::new(Instant::now())),
        });
        let routes = Router::new()
            .route(
                "/",
                asset("text/html; charset=utf-8", include_str!("page/index.html")),
            )
            .route(
                "/page.css",
                asset("text/css; charset=utf-8", include_str!("page/page.css")),
            )
            .route(
                "/page.js",
                asset(
                    "text/javascript; charset=utf-8",
                    include_str!("page/page.js"),
                ),
            )
            .route("/metrics", get(metrics))
            .route("/rates.json", get(rates))
            .with_state(shared.clone());
        Ok(ExperimentPage {
            server: WebServer::start("the page of the experiments", listen, option, routes)?,
            _sampler: Sampler::start(shared)?,
        })
    }

    /// The URL of the page.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }
}

impl Sampler {
    fn start(shared: Arc<Shared>) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("rates".into())
            .spawn(move || sample(&shared, &stopped))
            .map_err(|error| Error::caused_by("starting the thread that counts events", error))?;
        Ok(Sampler {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It has shown its panic.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn history(&self) -> std::sync::MutexGuard<'_, RateHistory> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes samples until it is stopped. One that is late does not delay those after it.
fn sample(shared: &Shared, stopped: &Receiver<()>) {
    let mut next = Instant::now() + PERIOD;
    while stopped.recv_timeout(next.saturating_duration_since(Instant::now()))
        == Err(RecvTimeoutError::Timeout)
    {
        let counts = shared.counts.by_key();
        let now = Instant::now();
        shared.history().sample(now, counts);
        next += PERIOD;
        if next < now {
            next = now + PERIOD;
        }
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, EventCounts::MEDIA_TYPE)],
        shared.counts.prometheus(),
    )
}

async fn rates(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let rates = Rates {
        running: shared.counts.running(),
        table: shared.history().table(),
    };
    let json = serde_json::to_string(&rates).expect("its keys are text and its numbers are finite");
    ([(CONTENT_TYPE, "application/json")], json)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    /// The head and the body of an answer.
    fn ask(page: &ExperimentPage, path: &str) -> (String, String) {
        let mut connection = TcpStream::connect(page.server.address()).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let head = "Host: localhost\r\nConnection: close\r\n";
        write!(connection, "GET {path} HTTP/1.1\r\n{head}\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn counts_are_on_the_page_and_for_prometheus() {
        let counts = Arc::new(EventCounts::default());
        let page = ExperimentPage::start(ListenAddress::loopback(0), "--page", counts.clone());
        let page = page.unwrap();
        counts.set_running(1);
        for _ in 0..3 {
            counts.count("9d41e7b6", "experiment");
        }
        let (head, body) = ask(&page, "/metrics");
        assert!(
            head.contains("content-type: text/plain; version=0.0.4"),
            "{head}"
        );
        let line = "event_count_total{key=\"9d41e7b6\",topic=\"experiment\"} 3\n";
        assert!(body.contains(line), "{body}");

        // The first sample comes within a second.
        let deadline = Instant::now() + Duration::from_secs(20);
        let rates = loop {
            let (head, body) = ask(&page, "/rates.json");
            assert!(head.contains("content-type: application/json"), "{head}");
            let rates: serde_json::Value = serde_json::from_str(&body).unwrap();
            if rates["events"] == 3 {
                break rates;
            }
            assert!(Instant::now() < deadline, "{rates}");
            thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(rates["running"], 1);
        assert_eq!(rates["experiments"][0]["name"], "9d41e7b6");
        let rate = |list: &serde_json::Value| list[0].as_f64().unwrap();
        let events = rate(&rates["total"]) * rate(&rates["seconds"]);
        assert!((events - 3.0).abs() < 0.01, "{rates}");
        assert_eq!(rates["total"], rates["experiments"][0]["rates"]);
    }

    #[test]
    fn the_page_asks_for_what_the_server_has() {
        let counts = Arc::new(EventCounts::default());
        let page = ExperimentPage::start(ListenAddress::loopback(0), "--page", counts).unwrap();
        let (_, html) = ask(&page, "/");
        let quoted = html.split('"').skip(1).step_by(2);
        let files: Vec<_> = quoted
            .filter(|text| text.contains('.') && !text.contains(' '))
            .collect();
        assert_eq!(files, ["page.css", "plotly.min.js", "page.js"]);
        for file in files {
            let (head, _) = ask(&page, &format!("/{file}"));
            let media_type = if file.ends_with("css") {
                "text/css"
            } else {
                "text/javascript"
            };
            assert!(
                head.contains(&format!("content-type: {media_type}; charset=utf-8")),
                "{head}"
            );
        }
    }
}
