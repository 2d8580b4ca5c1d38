//! Experiments that send events to Kafka, and the page that shows how many.
//!
//! [`EventCounts`] counts the events for Prometheus, [`RateHistory`] makes rates of the counts, and
//! an [`ExperimentPage`] shows both.

mod counts;
mod page;
mod rates;
mod send;

pub use self::counts::EventCounts;
pub use self::page::ExperimentPage;
pub use self::rates::RateHistory;
pub use self::send::{producer, send};
