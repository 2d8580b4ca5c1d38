//! Tests of the properties.

use super::*;

fn clients(smallest_message: usize) -> Clients {
    Clients::new(&LogConfig {
        properties: BTreeMap::new(),
        stage: "p".into(),
        group: "p".into(),
        instance: "a".into(),
        guarantee: Guarantee::ExactlyOnce,
        limits: Limits::default(),
        inputs: Vec::new(),
        topics: Vec::new(),
        has_changelog: true,
        has_outputs: true,
        largest_message: 1_048_588,
        smallest_message,
        has_statistics: false,
    })
}

#[test]
fn a_batch_fits_the_smallest_max_message_bytes() {
    let by_memory = Limits::default().batch();
    assert_eq!(clients(1_048_588).batch_size(), by_memory);
    assert_eq!(clients(20_000).batch_size(), 19_900);
    assert_eq!(clients(1000).batch_size(), LEAST_BATCH);
}

#[test]
fn batches_are_halved_for_later_producers_down_to_the_least() {
    let clients = clients(20_000);
    let of_next_producer = clients.clone();
    clients.halve_batches();
    assert_eq!(of_next_producer.batch_size(), 9950);
    for _ in 0..10 {
        clients.halve_batches();
    }
    assert_eq!(of_next_producer.batch_size(), LEAST_BATCH);
}
