//! The server: [`WebServer`].

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get};
use rivulet_core::error::{Error, Result};
use rivulet_core::listen_address::{ListenAddress, url};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::headers::{Checks, STYLE_OF_FORM, checked};
use crate::plotly::plotly;
use crate::token::AccessToken;

/// The media type of style sheets.
const CSS: &str = "text/css; charset=utf-8";

/// A server that runs in a thread of its own. It ends when this is dropped, with all its answers.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    /// The server ends when it is gone.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WebServer {
    /// Starts a server. `name` is what it shows, for errors and the log, and `option` is the one
    /// that sets its address.
    ///
    /// # Errors
    /// If it cannot listen there: another program does, or this machine has no such address.
    pub fn start(name: &str, listen: ListenAddress, option: &str, routes: Router) -> Result<Self> {
        Self::start_with(name, listen, option, routes, None)
    }

    /// The same for those who have the token. On the loopback interface nobody needs it.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub fn start_with_token(
        name: &str,
        listen: ListenAddress,
        option: &str,
        routes: Router,
        token: AccessToken,
    ) -> Result<Self> {
        Self::start_with(name, listen, option, routes, Some(token))
    }

    fn start_with(
        name: &str,
        listen: ListenAddress,
        option: &str,
        routes: Router,
        token: Option<AccessToken>,
    ) -> Result<Self> {
        let (listener, address) = listen.bind(name, option)?;
        let failed = |error| Error::caused_by(format!("opening {name} at {listen}"), error);
        listener.set_nonblocking(true).map_err(failed)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let inside = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
        drop(inside);

        let is_for_all = !address.ip().is_loopback();
        let token = token.filter(|_| is_for_all);
        let checks = Checks {
            address,
            token: token.clone(),
        };
        let routes = routes
            .route("/plotly.min.js", get(plotly))
            .route(STYLE_OF_FORM, asset(CSS, include_str!("token/token.css")))
            .fallback(async || (StatusCode::NOT_FOUND, "there is nothing here\n"))
            .layer(from_fn_with_state(checks, checked));
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            tokio::select! {
                _ = stopped => (),
                _ = axum::serve(listener, routes).into_future() => (),
            }
        };
        let thread = thread::Builder::new()
            .name("web".into())
            .spawn(move || runtime.block_on(serve))
            .map_err(failed)?;
        let shown = url(address);
        if let Some(token) = token {
            tracing::info!("{name} is at {}", token.in_url(&shown));
        } else {
            tracing::info!("{name} is at {shown}");
            if is_for_all {
                tracing::warn!(%address, "everybody in this network can read {name}");
            }
        }
        Ok(WebServer {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens, with the port that it has.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its first page, on this machine.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.address)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It has shown its panic.
            let _ = thread.join();
        }
    }
}

/// The route of a file that is a part of the program. Browsers ask for it again each time, because
/// the next version of the program may have another.
pub fn asset<S>(media_type: &'static str, body: &'static str) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    get(move || async move { ([(CONTENT_TYPE, media_type)], body) })
}

#[cfg(test)]
mod tests;
