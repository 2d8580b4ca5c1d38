//! The laptop's pages: a small web server that only shows something.
//!
//! A [`WebServer`] runs [`Router`]'s routes in a thread of its own until it is dropped, so what has
//! a page needs no async code but its handlers. It answers `GET` and `HEAD` only. It listens on the
//! loopback interface, unless its [`ListenAddress`](rivulet_core::listen_address::ListenAddress)
//! names another. Then an [`AccessToken`] can be asked
//! for. Its headers let a page run only scripts of its own, and ask nobody else. Plotly's script is
//! at `/plotly.min.js`. [`events`] keeps a page up to date while it is open.
//!
//! ```
//! use rivulet_core::listen_address::ListenAddress;
//! use rivulet_web::{Router, WebServer, asset};
//!
//! let routes = Router::new().route("/", asset("text/html; charset=utf-8", "<p>Hello</p>"));
//! let any_port: ListenAddress = "0".parse()?;
//! let server = WebServer::start("the page", any_port, "--page", routes)?;
//! assert!(server.url().starts_with("http://127.0.0.1:"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod events;
mod headers;
mod plotly;
mod server;
mod token;

pub use axum::Router;
/// What handlers take and return.
pub use axum::{extract, http, response, routing};

pub use self::events::events;
pub use self::server::{WebServer, asset};
pub use self::token::AccessToken;
