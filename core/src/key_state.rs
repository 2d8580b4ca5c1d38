//! What an operator keeps for one sensor.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

/// The state that an operator keeps for one sensor: a type of the operator's own.
///
/// The changelog holds it as finite numbers, which fit any operator and which people can read.
/// [`Keyed::restore`](crate::keyed::Keyed::restore) makes the same state from them.
pub trait KeyState: Any + fmt::Debug + Send {
    /// Its numbers.
    fn numbers(&self) -> Cow<'_, [f64]>;

    /// What it holds, in a few words: `rivulet state show` prints them. The last of its numbers,
    /// unless a state says more.
    fn describe(&self) -> String {
        describe_numbers(&self.numbers())
    }
}

/// How many numbers of a state are shown.
const SHOWN: usize = 8;

/// The last numbers of a state, with six significant digits.
#[must_use]
pub fn describe_numbers(numbers: &[f64]) -> String {
    let left_out = numbers.len().saturating_sub(SHOWN);
    let shown: Vec<String> = numbers[left_out..]
        .iter()
        .map(|number| short(*number))
        .collect();
    match left_out {
        0 if numbers.is_empty() => "-".to_owned(),
        0 => shown.join(" "),
        _ => format!("({left_out} more) {}", shown.join(" ")),
    }
}

/// A number with six significant digits.
fn short(number: f64) -> String {
    let rounded: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    let is_plain = rounded == 0.0 || (1e-5..1e16).contains(&rounded.abs());
    if is_plain {
        rounded.to_string()
    } else {
        format!("{rounded:e}")
    }
}

/// The numbers of each state.
#[must_use]
pub fn numbers(states: &[Box<dyn KeyState>]) -> Vec<Cow<'_, [f64]>> {
    states.iter().map(|state| state.numbers()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_six_digits_and_long_states_show_the_last() {
        let expected = [
            (62.740_625, "62.7406"),
            (1.0, "1"),
            (-1_234_567.0, "-1234570"),
            (1e-7, "1e-7"),
            (0.0, "0"),
            (2e300, "2e300"),
        ];
        for (number, text) in expected {
            assert_eq!(short(number), text);
        }
        let numbers: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(describe_numbers(&numbers), "(2 more) 3 4 5 6 7 8 9 10");
        assert_eq!(describe_numbers(&[]), "-");
    }
}
