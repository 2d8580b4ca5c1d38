//! How fast counters grow: [`RateWindow`].

use std::collections::VecDeque;
use std::time::Duration;

/// How far back a rate looks.
const SPAN: Duration = Duration::from_secs(5);

/// The last values of something that grows, over some seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct RateWindow<T> {
    looks: VecDeque<(Duration, T)>,
}

impl<T> RateWindow<T> {
    /// Adds a value at a time, which is not before that of the last one.
    pub(super) fn push(&mut self, at: Duration, value: T) {
        self.looks.push_back((at, value));
        while self.looks.len() > 2 && self.looks[1].0 + SPAN <= at {
            self.looks.pop_front();
        }
    }

    /// Forgets everything: the counters have begun again.
    pub(super) fn clear(&mut self) {
        self.looks.clear();
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.looks.back().map(|(_, value)| value)
    }

    /// The first value and the last one, and how many seconds are between them. `None` if there are
    /// fewer than two.
    pub(super) fn ends(&self) -> Option<(&T, &T, f64)> {
        let ((first, then), (last, now)) = (self.looks.front()?, self.looks.back()?);
        let seconds = last.saturating_sub(*first).as_secs_f64();
        (seconds > 0.0).then_some((then, now, seconds))
    }

    /// By how much a number grows in a second.
    pub(super) fn rate(&self, number: impl Fn(&T) -> f64) -> Option<f64> {
        let (then, now, seconds) = self.ends()?;
        Some(((number(now) - number(then)) / seconds).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let mut window = RateWindow::default();
        let rate = |window: &RateWindow<f64>| window.rate(|number| *number);
        assert_eq!(rate(&window), None);
        for second in 0..20 {
            let read = if second < 10 { 1.0 } else { 100.0 } * f64::from(second);
            window.push(Duration::from_secs(second.try_into().unwrap()), read);
        }
        assert_eq!(rate(&window), Some(100.0));
        assert_eq!(window.last(), Some(&1900.0));
        window.push(Duration::from_mins(1), 1900.0);
        assert_eq!(rate(&window), Some(0.0));
        window.clear();
        assert_eq!(rate(&window), None);
    }
}
