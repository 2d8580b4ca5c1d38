//! The statements about a log, checked on the simulated cluster.

use std::rc::Rc;

use rivulet_core::log::Fault;
use rivulet_core::shutdown::Shutdown;
use rivulet_pipeline::Pipeline;
use rivulet_simulation::client::SimulatedLog;
use rivulet_simulation::cluster::{Content, Partition};
use rivulet_simulation::schedule::make_topics;
use rivulet_simulation::statements::Broker;
use rivulet_simulation::world::{SimulatedProcess, World};

/// A world without faults.
struct Simulated(Rc<World>);

impl Broker for Simulated {
    type Log = SimulatedLog;

    fn settings(&self) -> String {
        String::new()
    }

    fn suffix(&self) -> String {
        String::new()
    }

    fn make_topics(&self, pipeline: &Pipeline) {
        make_topics(&self.0, pipeline);
    }

    fn open(&self, pipeline: &Pipeline, instance: &str) -> Result<SimulatedLog, Fault> {
        let process = Rc::new(SimulatedProcess::default());
        SimulatedLog::open(
            &self.0,
            &process,
            pipeline,
            &pipeline.stages[0],
            instance,
            &Shutdown::new(),
        )
    }

    fn write(&self, topic: &str, value: &str) {
        let value = Some(value.as_bytes().to_vec());
        let content = Content {
            key: None,
            value,
            headers: Vec::new(),
            timestamp: 0,
        };
        self.0
            .cluster()
            .produce(None, &(topic.to_owned(), 0), vec![content])
            .unwrap();
    }

    fn read(&self, topic: &str, at_least: usize) -> Vec<String> {
        loop {
            let cluster = self.0.cluster();
            let records = cluster.topics[topic]
                .partitions
                .iter()
                .flat_map(Partition::committed);
            let values = records.map(|record| record.content.value.clone().unwrap_or_default());
            let found: Vec<String> = values
                .map(|value| String::from_utf8(value).unwrap())
                .collect();
            if found.len() >= at_least {
                return found;
            }
            drop(cluster);
            assert!(!self.0.is_exhausted(), "{topic}: {found:?}");
            self.0.idle(std::time::Duration::from_millis(1));
        }
    }

    fn delete_records(&self, topic: &str, before: i64) {
        self.0
            .cluster()
            .delete_records(&(topic.to_owned(), 0), before);
    }

    fn kill(&self, log: SimulatedLog) {
        log.process().is_dead.set(true);
    }
}

rivulet_simulation::statements!(Simulated(World::new(0, false)));
