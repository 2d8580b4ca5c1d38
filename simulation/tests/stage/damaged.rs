//! Topics that have lost records, were created again or were given partitions.

use super::*;

/// Deletes the records of the input below an offset.
fn delete_below(world: &World, offset: i64) {
    world.cluster().delete_records(&("in".into(), 0), offset);
}

#[test]
fn deleted_unread_records_are_never_skipped_silently() {
    for (settings, goes_on) in [("", false), ("on-gap = \"dead-letter\"\n", true)] {
        let world = world();
        drained(&world);
        world.settle();
        world
            .cluster()
            .produce(None, &("in".into(), 0), vec![content("1".to_owned()); 20])
            .unwrap();
        delete_below(&world, 30);
        let pipeline = pipeline_with(settings);
        let result = outcome_of(&world, &pipeline).1;
        let dead_letters = dead_letter_topics(&world);
        if goes_on {
            result.unwrap();
            assert_eq!(dead_letters.last().unwrap(), "in [0] offsets 20..30");
            assert_eq!(values(&world, "out").len(), 29);
        } else {
            let error = result.unwrap_err().to_string();
            assert!(
                error.contains("20..30") && error.contains("on-gap = \"dead-letter\""),
                "{error}"
            );
            assert_eq!((dead_letters.len(), values(&world, "out").len()), (1, 19));
        }
    }
}

/// The `rivulet.topic` headers of the dead letters.
fn dead_letter_topics(world: &World) -> Vec<String> {
    world.settle();
    let cluster = world.cluster();
    let mut topics = Vec::new();
    for record in cluster.partition("sum-dead-letters", 0).committed() {
        let mut headers = record.content.headers.iter();
        let (_, topic) = headers.find(|(name, _)| name == "rivulet.topic").unwrap();
        topics.push(String::from_utf8(topic.clone().unwrap()).unwrap());
    }
    topics
}

#[test]
fn a_topic_that_was_created_again_is_an_error() {
    let world = world();
    drained(&world);
    world.settle();
    world.cluster().create("in", 1, false);
    let error = outcome(&world).1.unwrap_err().to_string();
    assert!(
        error.contains("created again") && error.contains("--from-start"),
        "{error}"
    );
}

#[test]
fn partitions_added_since_the_state_was_written_are_an_error() {
    let world = world();
    drained(&world);
    world.settle();
    for topic in ["in", "sum-changelog"] {
        let mut cluster = world.cluster();
        cluster
            .topics
            .get_mut(topic)
            .unwrap()
            .partitions
            .push(rivulet_simulation::cluster::Partition::default());
    }
    let error = outcome(&world).1.unwrap_err().to_string();
    assert!(
        error.contains("had 1 partitions") && error.contains("has 2 now"),
        "{error}"
    );
}
