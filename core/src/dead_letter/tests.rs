//! Dead letters that are too large are truncated.

use proptest::prelude::*;

use super::*;

/// Truncates a record with a key and a value of these lengths. Returns what is left of both,
/// and the header.
fn truncated(key: usize, value: usize) -> (Option<usize>, Option<usize>, Option<u64>) {
    let invalid = InvalidReading::new("not-json", "no");
    let (key, value) = (vec![b'x'; key], vec![b'x'; value]);
    let mut dead_letter = dead_letter("s", &[], &invalid);
    let (key, value) = truncate(100_000, &mut dead_letter, Some(&key), Some(&value));
    (
        key.map(<[u8]>::len),
        value.map(<[u8]>::len),
        dead_letter.truncated,
    )
}

#[test]
fn a_truncated_dead_letter_says_so() {
    assert_eq!(
        truncated(50_000, 49_000),
        (Some(50_000), Some(49_000), None)
    );
    let (key, value, header) = truncated(50_000, 50_000);
    assert!(
        key == Some(50_000) && value.is_some_and(|kept| kept > 49_000) && header == Some(50_000)
    );
    assert_eq!(
        truncated(1, 200_000),
        (Some(1), Some(KEPT_VALUE), Some(200_000))
    );
    assert_eq!(
        truncated(50_001, 7),
        (None, Some(7), Some(7)),
        "without its key it is not the record"
    );
}

#[test]
fn an_error_that_quotes_the_whole_value_leaves_room_for_it() {
    let value = format!("{{\"unit\":\"{}\"}}", "é".repeat(300_000));
    let invalid = InvalidReading::new(
        "not-json",
        format!("unknown variant `{value}`, expected one of"),
    );
    let mut dead_letter = dead_letter("s", &[], &invalid);
    let kept = truncate(1_048_588, &mut dead_letter, None, Some(value.as_bytes()));
    assert_eq!(kept, (None, Some(value.as_bytes())));
    assert!(dead_letter.error.starts_with("unknown variant"));
    assert!(dead_letter.error.len() <= KEPT_ERROR);
    assert_eq!(dead_letter.truncated, None);
}

#[test]
fn headers_that_are_too_large_are_left_out() {
    let invalid = InvalidReading::new("not-json", "no");
    let headers = [("a".to_owned(), Some(vec![b'b'; 25_000]))];
    let mut dead_letter = dead_letter("s", &headers, &invalid);
    let kept = truncate(100_000, &mut dead_letter, None, Some(b"7"));
    assert_eq!(kept, (None, Some(&b"7"[..])));
    assert!(dead_letter.original.is_empty() && dead_letter.truncated == Some(1));
}

proptest! {
    /// If a topic accepts a record, a dead-letter topic with the same limit accepts its dead
    /// letter.
    #[test]
    fn a_dead_letter_is_never_too_large(
        largest in 10_000..2_000_000_usize,
        key in 0..=100_usize,
        value in 0..=100_usize,
        headers in 0..=100_usize,
        count in 1..100_usize,
        detail in 0..2_000_000_usize,
    ) {
        let part = |weight: usize| largest * weight / (key + value + headers).max(100);
        let (key, value) = (vec![0; part(key)], vec![0; part(value)]);
        let headers = vec![("name".to_owned(), Some(vec![0; part(headers) / count])); count];
        let invalid = InvalidReading::new("not-json", "x".repeat(detail));
        let mut dead_letter = dead_letter("s", &headers, &invalid);
        let (key, value) = truncate(largest, &mut dead_letter, Some(&key), Some(&value));
        // As librdkafka counts a record and its batch.
        let framing = 61 + 36;
        let (key, value) = (key.map_or(0, <[u8]>::len), value.map_or(0, <[u8]>::len));
        prop_assert!(framing + key + value + size(&dead_letter.headers()) <= largest);
    }
}
