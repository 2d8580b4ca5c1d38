//! Faults that change processes and topics.

use std::time::Duration;

use rivulet_pipeline::{Stage, StageKind};

use super::slot::{SlotState, slot};
use super::{FUTURE, Instances, MAX_EXTRAS, MONTH};
use crate::chance::Chance;
use crate::client::place_of;
use crate::cluster::{Cluster, Content};
use crate::faults::{FaultKind, Margin};
use crate::plan::FORBIDDEN_TEXT;
use crate::world::OtherProcesses;

impl Instances {
    fn change_at_margin(
        &self,
        kind: FaultKind,
        cluster: &mut Cluster,
        chance: &mut Chance,
    ) -> bool {
        let stages = &self.plan.pipeline.stages;
        let stages: Vec<&Stage> = stages
            .iter()
            .filter(|stage| !stage.from.is_empty())
            .collect();
        let stage = stages[chance.index(stages.len())];
        let input = &stage.from[chance.index(stage.from.len())];
        match kind {
            FaultKind::Deletion => {
                let place = (
                    input.clone(),
                    chance.index(cluster.topics[input].partitions.len()),
                );
                self.delete(cluster, &place, chance);
            }
            FaultKind::Recreation => {
                let changelog = stage.changelog();
                let is_state = cluster.topics.contains_key(&changelog) && chance.one_in(4);
                let topic = if is_state { &changelog } else { input };
                self.world
                    .trace(topic, || "is deleted and created again".to_owned());
                cluster.recreate(topic);
            }
            FaultKind::Partitions => {
                self.world.trace(input, || "gets a partition".to_owned());
                cluster.add_a_partition(input);
                if chance.one_in(2) {
                    for reader in self.plan.pipeline.readers(input).map(Stage::changelog) {
                        if cluster.topics.contains_key(&reader) {
                            cluster.add_a_partition(&reader);
                        }
                    }
                }
            }
            FaultKind::Outside => self.write_from_outside(cluster, chance),
            FaultKind::Forbidden => {
                let topic = &stage.to[0];
                let time = Duration::from_millis(chance.below(5000).into());
                let time = Some(time).filter(|_| !chance.one_in(4));
                self.world
                    .trace(topic, || format!("writing is not authorized for {time:?}"));
                cluster.forbid(topic, time);
            }
            _ => return false,
        }
        true
    }

    /// Writes a few readings, some of them odd. An odd sensor has only one reading.
    fn write_from_outside(&self, cluster: &mut Cluster, chance: &mut Chance) {
        for _ in 0..=chance.below(3) {
            let number = self.outside_count.get();
            self.outside_count.set(number + 1);
            let rejects = self.world.margin() == Margin::Rejections;
            let now = i64::try_from(self.world.time().as_millis()).unwrap_or_default();
            let (mut sensor, mut timestamp) = (format!("lone{number}"), now);
            match chance.below(6) {
                // In the future, each later than the one before.
                0 if rejects => {
                    timestamp = FUTURE + 86_400_000 * i64::try_from(number).unwrap_or_default();
                }
                1 if rejects => sensor = format!("{FORBIDDEN_TEXT}{number}"),
                2 if !rejects => sensor = format!("{}{number}", "long".repeat(chance.index(1500))),
                0 | 1 => sensor = format!("{}{number}", "long".repeat(chance.index(500))),
                _ => (),
            }
            let mut value = format!(
                "{{\"sensor\":\"{sensor}\",\"seq\":0,\"time\":{now},\"value\":{}.5,\
                 \"unit\":\"celsius\"}}",
                chance.below(30)
            );
            if chance.one_in(6) {
                value = "rubbish ".repeat(chance.index(if rejects { 100 } else { 800 }));
            }
            let key = sensor.into_bytes();
            let place = (
                "outside".to_owned(),
                place_of(&key, cluster.topics["outside"].partitions.len()),
            );
            let content = Content {
                key: Some(key),
                value: Some(value.into_bytes()),
                headers: Vec::new(),
                timestamp,
            };
            cluster
                .produce(None, &place, vec![content])
                .expect("the outside topic accepts everything");
        }
    }
}

impl OtherProcesses for Instances {
    fn run(&self, steps: u32) {
        for _ in 0..steps {
            self.step();
        }
    }

    fn change_processes(&self, kind: FaultKind) -> bool {
        let now = self.world.time();
        let slots = &mut *self.slots.borrow_mut();
        let at = self.world.chance().index(slots.len());
        // The sources come first in each plan.
        let at = if kind == FaultKind::Elsewhere {
            at % self.plan.sources()
        } else {
            at
        };
        let chosen = &mut slots[at];
        if kind == FaultKind::Stop {
            let stops = matches!(chosen.state, SlotState::Running(_)) && !chosen.is_extra;
            if stops {
                chosen.shutdown.stop();
                chosen.is_stopping = true;
            }
            return stops;
        }
        let is_double = kind == FaultKind::Double;
        let stage = chosen.stage;
        // No instance is added to a stage that has ended for good.
        if self.stopped.borrow().contains(&stage) {
            return false;
        }
        if kind == FaultKind::Month {
            if matches!(
                self.plan.pipeline.stages[stage].kind,
                StageKind::Producer { .. }
            ) {
                return false;
            }
            for slot in slots
                .iter_mut()
                .filter(|slot| slot.stage == stage && !matches!(slot.state, SlotState::Done))
            {
                slot.shutdown.stop();
                match slot.state {
                    SlotState::Starting(_) if slot.is_extra => slot.state = SlotState::Done,
                    SlotState::Starting(_) => slot.state = SlotState::Starting(now + MONTH),
                    _ => (),
                }
                slot.away = Some(now + MONTH).filter(|_| !slot.is_extra);
            }
            return true;
        }
        let instance = if is_double {
            chosen.instance.clone()
        } else {
            format!("x{}", slots.len())
        };
        let is_source = matches!(
            self.plan.pipeline.stages[stage].kind,
            StageKind::Producer { .. }
        );
        if slots.iter().filter(|slot| slot.is_extra).count() >= MAX_EXTRAS
            || (!is_double && is_source != (kind == FaultKind::Elsewhere))
        {
            return false;
        }
        slots.push(slot(stage, instance, true, now));
        true
    }

    fn change_topics(&self, kind: FaultKind) -> bool {
        let mut cluster = self.world.cluster();
        let chance = &mut self.world.chance();
        if !matches!(kind, FaultKind::Compaction | FaultKind::Retention) {
            return self.change_at_margin(kind, &mut cluster, chance);
        }
        let compacts = kind == FaultKind::Compaction;
        let is_read = |topic: &str| self.plan.pipeline.readers(topic).next().is_some();
        let topics = cluster
            .topics
            .iter()
            .filter(|(name, topic)| topic.compacted == compacts && (compacts || is_read(name)));
        let topics: Vec<String> = topics.map(|(name, _)| name.clone()).collect();
        let topic = topics[chance.index(topics.len())].clone();
        let partition = chance.index(cluster.topics[&topic].partitions.len());
        let readers: Vec<&str> = self
            .plan
            .pipeline
            .readers(&topic)
            .map(|stage| stage.name.as_str())
            .collect();
        let place = (topic.clone(), partition);
        if compacts {
            cluster.compact(&place, chance);
        } else {
            cluster.expire(&place, &readers);
        }
        true
    }
}
