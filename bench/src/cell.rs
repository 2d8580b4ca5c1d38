//! One thing to measure: [`Cell`].

use std::path::Path;

use crate::outcome::Outcome;
use crate::place::Place;
use crate::results::Measurement;

/// How many brokers a cell needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brokers {
    One,
    Three,
}

/// One run of one subject.
pub(crate) trait Cell {
    /// The part of the bench that it belongs to.
    fn part(&self) -> &'static str;

    /// How long it takes, in seconds.
    fn seconds(&self) -> f64;

    /// What is run, for whoever waits.
    fn title(&self) -> String;

    /// How many brokers it needs.
    fn brokers(&self) -> Brokers {
        Brokers::One
    }

    /// Runs it. All of its topics have names that begin with `name` and a dash. Its files are in
    /// `folder`.
    fn run(&self, place: &Place, folder: &Path, name: &str) -> Outcome<Measurement>;
}
