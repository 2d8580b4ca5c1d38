//! Changes of a stage's settings that keep or reset its state.

use super::*;

/// The chain whose EWMA has alpha 0.25 from the fifth reading above the threshold on. It continues
/// from 54.5, or from an empty state.
fn changed(remedy: MigrationKind) -> (String, Table) {
    let after = match remedy {
        MigrationKind::Kept => vec![
            54.275,
            54.556_25,
            56.117_187_5,
            57.287_890_625,
            59.515_917_968_75,
        ],
        MigrationKind::Reset | MigrationKind::Anew | MigrationKind::Forgotten => {
            vec![54.05, 55.7375, 57.003_125, 59.302_343_75]
        }
    };
    let before = placed(&EWMA[..4], 1);
    let skip = if remedy == MigrationKind::Kept { 5 } else { 6 };
    let readings = [before, placed(&after, skip)].concat();
    let mut table = worked_example();
    table = table.with("ewma", vec![json("a", "fahrenheit", &readings)]);
    table.migrate("ewma", remedy, "ewma(alpha=0.5)", "above", 5);
    (
        chain(PRODUCER, "").replace("alpha = 0.5", "alpha = 0.25"),
        table,
    )
}

#[test]
fn a_stage_is_verified_before_and_after_a_change_of_settings() {
    for (remedy, word) in [
        (MigrationKind::Kept, "kept"),
        (MigrationKind::Reset, "reset"),
    ] {
        let (pipeline, mut table) = changed(remedy);
        let report = verified(&pipeline, &mut table);
        assert!(report.is_clean(), "{report}");
        let note = format!("note: `ewma` was `ewma(alpha=0.5)` until its state was {word}");
        assert!(report.to_string().contains(&note), "{report}");
        let report = verified(&pipeline.replace("alpha = 0.25", "alpha = 0.3"), &mut table);
        assert!(report.total().wrong > 0, "{report}");
        let report = verified(&chain(PRODUCER, ""), &mut table);
        assert!(!report.is_clean(), "{report}");
    }
}

#[test]
fn a_change_at_an_unknown_reading_is_not_verifiable() {
    let (pipeline, mut table) = changed(MigrationKind::Kept);
    table.topics.get_mut("above").unwrap()[0].remove(0);
    let report = verified(&pipeline, &mut table).to_string();
    assert!(
        report.contains(
            "ewma        not verifiable: `ewma` writes it: its settings were changed, and `above`"
        ),
        "{report}"
    );
    let (pipeline, mut table) = changed(MigrationKind::Anew);
    let report = verified(&pipeline, &mut table).to_string();
    assert!(
        report.contains("its inputs were read again") && report.contains("0 missing, 0 extra"),
        "{report}"
    );

    let pipeline = "[producer.p]\nsource = \"list\"\nto = \"in\"\n[operator.mean]\nfrom \
                    = \"in\"\nsteps = [{ average = { window = 1 } }]\nto = \"out\"";
    let readings = json("a", "celsius", &[(0, 1.0), (1, 2.0)]);
    let mut table = Table::default()
        .with("in", vec![readings.clone()])
        .with("out", vec![readings]);
    table.migrate("mean", MigrationKind::Reset, "average(window=1)", "in", 1);
    assert!(verified(pipeline, &mut table).is_clean());
    table.starts.insert("out".into(), 1);
    assert!(verified(pipeline, &mut table).is_clean());
    let with_next = format!(
        "{pipeline}\n[operator.again]\nfrom = \"out\"\nsteps = [{{ average = {{ window = 1 }} \
         }}]\nto = \"last\""
    );
    table.migrate("again", MigrationKind::Reset, "average(window=1)", "out", 1);
    let report = verified(&with_next, &mut table).to_string();
    assert!(
        report.contains("its settings were changed, and the first records of `out` were deleted"),
        "{report}"
    );
}

#[test]
fn a_resolved_dead_letter_does_not_move_a_migration() {
    let pipeline = "[producer.p]\nsource = \"list\"\nto = \"in\"\n[operator.mean]\nfrom \
                    = \"in\"\nsteps = [{ average = { window = 2 } }]\nto = \"out\"";
    let readings = json(
        "a",
        "celsius",
        &[(0, 1.0), (1, 2.0), (2, 3.0), (3, 5.0), (4, 7.0)],
    );
    let mut table = Table::default().with("in", vec![readings]).with(
        "out",
        vec![json("a", "celsius", &[(0, 1.0), (2, 3.0), (4, 6.0)])],
    );
    table.add_dead_letter("mean", "in", 1);
    table.resolve("mean", Resolved::Dropped, "0");
    table.migrate("mean", MigrationKind::Reset, "average(window=1)", "in", 3);
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 3,
        "{report}"
    );
}
