//! Any interleaving of the topics gives the result of a batch.

use std::collections::BTreeMap;
use std::iter::zip;

use proptest::prelude::*;

use super::*;

/// A reading of a topic: sensor, sequence number, time and value.
type Item = (&'static str, u64, i64, f64);

/// EWMA, average and input of one sensor, computed naively.
fn series(sensor: &'static str, values: &[(i64, f64)]) -> [Vec<Item>; 3] {
    let mut time = 0;
    let mut input: Vec<Item> = Vec::new();
    for (index, (step, value)) in values.iter().enumerate() {
        time += step;
        input.push((sensor, index as u64 * 2, time, *value));
    }
    let mut ewma = input.clone();
    for index in 1..ewma.len() {
        ewma[index].3 = f64::midpoint(input[index].3, ewma[index - 1].3);
    }
    let mut average = input.clone();
    for index in 2..average.len() {
        average[index].3 = (input[index - 2].3 + input[index - 1].3 + input[index].3) / 3.0;
    }
    [
        ewma.into_iter().skip(1).collect(),
        average.into_iter().skip(2).collect(),
        input,
    ]
}

/// The items of a topic with some stretches sent again, as by a producer that was killed. Returns
/// the number of duplicates too.
fn sent_again(items: &[Item], stretches: &[(usize, usize)]) -> (Vec<Item>, u64) {
    let mut sent = Vec::new();
    let mut again = 0;
    for (index, item) in items.iter().enumerate() {
        sent.push(*item);
        for (_, length) in stretches.iter().filter(|(at, _)| *at == index) {
            let stretch = &items[(index + 1).saturating_sub(*length)..=index];
            again += stretch.len() as u64;
            sent.extend(stretch);
        }
    }
    (sent, again)
}

/// The joined points of one sensor: the values of the sides, and the input's index.
fn joined(sides: &[Vec<Item>; 3]) -> Vec<([f64; 3], usize)> {
    let numbered = sides.each_ref().map(|items| {
        let mut numbered: BTreeMap<(i64, usize), (usize, f64)> = BTreeMap::new();
        for (index, (_, _, time, value)) in items.iter().enumerate() {
            let order = items[..index]
                .iter()
                .filter(|earlier| earlier.2 == *time)
                .count();
            numbered.insert((*time, order), (index, *value));
        }
        numbered
    });
    let [ewma, average, input] = &numbered;
    ewma.iter()
        .filter_map(|(key, (_, ewma))| {
            let (index, input) = input.get(key)?;
            Some(([*ewma, average.get(key)?.1, *input], *index))
        })
        .collect()
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let means = (
        mean(pairs.iter().map(|pair| pair.0)),
        mean(pairs.iter().map(|pair| pair.1)),
    );
    let deviations = pairs.iter().map(|(x, y)| (x - means.0, y - means.1));
    let products: f64 = deviations.clone().map(|(x, y)| x * y).sum();
    let squares_x: f64 = deviations.clone().map(|(x, _)| x * x).sum();
    let squares_y: f64 = deviations.map(|(_, y)| y * y).sum();
    products / (squares_x * squares_y).sqrt()
}

fn close(found: f64, expected: f64) -> Result<(), TestCaseError> {
    prop_assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{found} should be {expected}"
    );
    Ok(())
}

fn same_lag(
    found: Option<usize>,
    points: &[([f64; 3], usize)],
    side: usize,
    input: &[Item],
) -> Result<(), TestCaseError> {
    let coefficients: Vec<Option<f64>> = (0..=24)
        .map(|steps| {
            let pairs: Vec<(f64, f64)> = points
                .iter()
                .filter_map(|(values, index)| {
                    Some((values[side], input[index.checked_sub(steps)?].3))
                })
                .collect();
            let enough = pairs.len() >= 3 && pairs.len() * 2 >= points.len();
            enough
                .then(|| correlation(&pairs))
                .filter(|coefficient| coefficient.is_finite())
        })
        .collect();
    let largest = coefficients.iter().flatten().copied().fold(0.0, f64::max);
    match found {
        // Coefficients may differ by rounding only. Then either may be the largest.
        Some(steps) => prop_assert!(coefficients[steps].unwrap() > largest - 1e-7),
        None => prop_assert!(largest < 1e-7),
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_interleaving_gives_the_result_of_a_batch(
        values in prop::array::uniform2(prop::collection::vec((0_i64..3, -50.0..50.0), 0..80)),
        stretches in prop::array::uniform3(
            prop::collection::vec((0_usize..160, 1_usize..20), 0..4)
        ),
        picks in prop::collection::vec(0_usize..3, 1..100),
    ) {
        let [a, b] = [series("a", &values[0]), series("b", &values[1])];
        let mut sent: Vec<Vec<Item>> = Vec::new();
        let mut duplicates = 0;
        for side in 0..3 {
            let mut both: Vec<Item> = a[side].iter().chain(&b[side]).copied().collect();
            both.sort_by_key(|item| item.1);
            let (items, again) = sent_again(&both, &stretches[side]);
            sent.push(items);
            duplicates += again;
        }

        let (mut in_turn, in_turn_screen) = sink("compare = {}", &ALL);
        for (topic, items) in zip(ALL, &sent) {
            for (sensor, seq, time, value) in items {
                write(&mut in_turn, topic, &reading(sensor, *seq, *time, *value));
            }
        }
        let (mut mixed, mixed_screen) = sink("compare = {}", &ALL);
        let mut left: Vec<_> = sent.iter().map(|items| items.iter()).collect();
        let mut picks = picks.iter().cycle();
        while left.iter().any(|items| items.len() > 0) {
            let mut pick = *picks.next().unwrap();
            while left[pick].len() == 0 {
                pick = (pick + 1) % 3;
            }
            let (sensor, seq, time, value) = left[pick].next().unwrap();
            write(&mut mixed, ALL[pick], &reading(sensor, *seq, *time, *value));
        }
        in_turn.finish().unwrap();
        mixed.finish().unwrap();
        prop_assert_eq!(in_turn_screen.text(), mixed_screen.text());

        let found: u64 = mixed.comparison.sensors.values().map(|sensor| sensor.duplicates).sum();
        prop_assert_eq!(found, duplicates);
        for (name, sides) in [("a", &a), ("b", &b)] {
            let Some(sensor) = mixed.comparison.sensors.get(name) else {
                prop_assert!(sides.iter().all(Vec::is_empty));
                continue;
            };
            let points = joined(sides);
            prop_assert_eq!(sensor.joined, points.len() as u64);
            for (side, items) in zip([Side::Ewma, Side::Average, Side::Input], sides) {
                prop_assert_eq!(sensor.join.waiting(side), (items.len() - points.len()) as u64);
            }
            let Some(last) = points.last() else { continue };
            let levels = [&sensor.ewma, &sensor.average, &sensor.input];
            for (side, level) in levels.into_iter().enumerate() {
                close(level.mean.get(), mean(points.iter().map(|point| point.0[side])))?;
                close(level.last, last.0[side])?;
            }
            let pairs = [
                (0, 1, &sensor.ewma_to_average),
                (0, 2, &sensor.ewma_to_input),
                (1, 2, &sensor.average_to_input),
            ];
            for (one, other, found) in pairs {
                let differences = points.iter().map(|(values, _)| values[one] - values[other]);
                close(found.level.mean.get(), mean(differences.clone()))?;
                close(found.absolute.get(), mean(differences.clone().map(f64::abs)))?;
                close(found.root_mean_square(), mean(differences.map(|x| x * x)).sqrt())?;
            }
            same_lag(sensor.ewma_lag.steps(), &points, 0, &sides[2])?;
            same_lag(sensor.average_lag.steps(), &points, 1, &sides[2])?;
        }
    }
}
