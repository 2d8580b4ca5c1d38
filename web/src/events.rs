//! Events that a page gets while it is open: [`events`].

use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::time::{MissedTickBehavior, interval};

/// A stream of server-sent events: `next` makes one each period. It is called when the connection
/// takes more, so a reader who is slow gets fewer events, and none is kept for him.
#[must_use]
pub fn events(period: Duration, next: impl FnMut() -> String + Send + 'static) -> Response {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = stream::unfold((ticks, next), async |(mut ticks, mut next)| {
        ticks.tick().await;
        // It would end a line of the protocol.
        let data = next().replace('\r', "\n");
        let event = Event::default().data(data);
        Some((Ok::<_, Infallible>(event), (ticks, next)))
    });
    let mut response = Sse::new(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
