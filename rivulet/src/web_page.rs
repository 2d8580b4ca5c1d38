//! The page of a pipeline: what it does right now, in a browser.
//!
//! [`PipelinePage`] serves it. A browser that has the page open gets an event each second, with
//! what has changed since its last one. The figures of stages are the same for all who look, so
//! they are made once. Charts are drawn here, so a browser gets no more points than it has pixels.

mod charts;
mod parts;
mod query;
mod shared;
mod shown;
mod splice;
mod viewer;

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::TryRng;
use rand::rngs::SysRng;
use rivulet_core::error::{Error, Result};
use rivulet_core::listen_address::ListenAddress;
use rivulet_web::extract::{RawQuery, State};
use rivulet_web::http::StatusCode;
use rivulet_web::response::{IntoResponse, Response};
use rivulet_web::routing::get;
use rivulet_web::{AccessToken, Router, WebServer, asset};

use self::query::ViewQuery;
use self::shared::SharedPage;
use self::viewer::PageViewer;
use crate::CheckedPipeline;
use crate::live::Live;

/// The time between two events.
const PERIOD: Duration = Duration::from_secs(1);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What a page is about.
#[derive(Debug, Clone)]
pub struct PageAbout {
    /// What the log calls it.
    pub name: &'static str,
    /// Its title: the name of the pipeline file, or the topics.
    pub title: String,
    /// The brokers.
    pub brokers: String,
    /// Whether there are stages.
    pub has_stages: bool,
    /// The option that sets its address, for errors.
    pub option: &'static str,
}

impl PageAbout {
    /// The page of a pipeline.
    #[must_use]
    pub fn pipeline(pipeline: &CheckedPipeline<'_>) -> Self {
        PageAbout {
            name: "the page of the pipeline",
            title: pipeline.file_name(),
            brokers: pipeline.brokers().to_owned(),
            has_stages: true,
            option: "--listen",
        }
    }
}

/// A token that nobody can guess.
///
/// # Errors
/// If the system has no random bits.
pub fn random_token() -> Result<AccessToken> {
    let mut bits = [0; 16];
    let failed = |error| Error::caused_by("making a token", error);
    SysRng.try_fill_bytes(&mut bits).map_err(failed)?;
    Ok(AccessToken::of_bits(u128::from_be_bytes(bits)))
}

/// The page of a pipeline. It is there until this is dropped.
#[derive(Debug)]
pub struct PipelinePage {
    server: WebServer,
}

impl PipelinePage {
    /// Opens the page. Who asks from another machine needs the token.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub fn start(
        about: &PageAbout,
        live: Arc<Live>,
        listen: ListenAddress,
        token: AccessToken,
    ) -> Result<Self> {
        let shared = Arc::new(SharedPage::new(about, live));
        let (style, script) = (|text| asset(CSS, text), |text| asset(SCRIPT, text));
        let routes = Router::new()
            .route("/", asset(HTML, include_str!("web_page/static/index.html")))
            .route("/page.css", style(include_str!("web_page/static/page.css")))
            .route(
                "/parts.css",
                style(include_str!("web_page/static/parts.css")),
            )
            .route("/page.js", script(include_str!("web_page/static/page.js")))
            .route(
                "/chart.js",
                script(include_str!("web_page/static/chart.js")),
            )
            .route(
                "/graph.js",
                script(include_str!("web_page/static/graph.js")),
            )
            .route(
                "/picker.js",
                script(include_str!("web_page/static/picker.js")),
            )
            .route(
                "/stream.js",
                script(include_str!("web_page/static/stream.js")),
            )
            .route(
                "/tables.js",
                script(include_str!("web_page/static/tables.js")),
            )
            .route("/text.js", script(include_str!("web_page/static/text.js")))
            .route("/events", get(events))
            .with_state(shared);
        let (name, option) = (about.name, about.option);
        let server = WebServer::start_with_token(name, listen, option, routes, token)?;
        Ok(PipelinePage { server })
    }

    /// The URL of the page, without the token.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The same with these sensors chosen, as many as the page shows at once.
    #[must_use]
    pub fn url_of(&self, sensors: &[String]) -> String {
        let chosen = sensors.iter().take(query::MOST_SENSORS).map(|sensor| {
            let encoded = utf8_percent_encode(sensor, NON_ALPHANUMERIC);
            format!("sensor={encoded}")
        });
        format!("{}?{}", self.url(), chosen.collect::<Vec<_>>().join("&"))
    }
}

async fn events(State(page): State<Arc<SharedPage>>, RawQuery(query): RawQuery) -> Response {
    let query = match ViewQuery::parse(&query.unwrap_or_default()) {
        Ok(query) => query,
        Err(sentence) => return (StatusCode::BAD_REQUEST, sentence + "\n").into_response(),
    };
    match PageViewer::new(page, query) {
        Some(mut viewer) => rivulet_web::events(PERIOD, move || viewer.next()),
        None => {
            let sentence = "too many look at this page: try again later\n";
            (StatusCode::SERVICE_UNAVAILABLE, sentence).into_response()
        }
    }
}

#[cfg(test)]
mod tests;
