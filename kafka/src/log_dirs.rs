//! How many bytes the replicas of topics take on the brokers' disks.

use std::collections::BTreeMap;

use rivulet_core::error::Result;

use crate::cluster::Cluster;
use crate::wire::reply::Reply;
use crate::wire::{Wire, put_count, put_text};

/// The request `DescribeLogDirs` and its version.
const DESCRIBE_LOG_DIRS: (i16, i16) = (35, 1);

/// The size of one replica of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSize {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The id of the broker.
    pub broker: i32,
    /// The bytes of its segments, without indexes.
    pub bytes: i64,
}

impl Cluster {
    /// The sizes of the replicas of these partitions, from every broker's own figures.
    ///
    /// # Errors
    /// If a broker does not answer or denies it, or the properties of the client ask for something
    /// that only librdkafka has, such as SASL SCRAM.
    pub fn replica_sizes(
        &self,
        partitions: &BTreeMap<String, Vec<i32>>,
    ) -> Result<Vec<ReplicaSize>> {
        let mut body = Vec::new();
        put_count(&mut body, partitions.len());
        for (topic, numbers) in partitions {
            put_text(&mut body, topic);
            put_count(&mut body, numbers.len());
            for number in numbers {
                body.extend(number.to_be_bytes());
            }
        }
        let mut sizes = Vec::new();
        for broker in self.metadata()?.brokers() {
            let port = u16::try_from(broker.port()).unwrap_or_default();
            let doing = "asking for the sizes of the partitions";
            let properties = &self.connection.properties;
            let mut wire = Wire::open(properties, (broker.host(), port), doing)?;
            let (key, version) = DESCRIBE_LOG_DIRS;
            let reply = wire.ask(key, version, &body)?;
            let (code, found) = read(reply, broker.id()).ok_or_else(|| wire.unreadable())?;
            if code != 0 {
                return Err(wire.rejected(code, None).or_help(
                    "allow this user to describe the cluster (ACL operation DESCRIBE on the \
                     cluster)",
                ));
            }
            sizes.extend(found);
        }
        Ok(sizes)
    }
}

/// The first error code of a folder, and the sizes in all of them. A replica that is being moved to
/// another folder counts twice, as it takes space twice. `None` if the answer is cut off.
fn read(mut reply: Reply, broker: i32) -> Option<(i16, Vec<ReplicaSize>)> {
    let _throttled = reply.int32()?;
    let (mut code, mut sizes) = (0, BTreeMap::<(String, i32), i64>::new());
    let mut is_empty = true;
    reply.list(|folder| {
        is_empty = false;
        let failed = folder.int16()?;
        code = if code == 0 { failed } else { code };
        let _path = folder.text()?;
        folder.list(|topic| {
            let name = topic.text()?;
            topic.list(|partition| {
                let (number, bytes) = (partition.int32()?, partition.int64()?);
                let (_behind, _is_future) = (partition.int64()?, partition.boolean()?);
                *sizes.entry((name.clone(), number)).or_default() += bytes;
                Some(())
            })
        })
    })?;
    // A broker that denies it lists no folder in this version of the answer.
    let code = if is_empty { 31 } else { code };
    let sizes = sizes.into_iter();
    let sizes = sizes.map(|((topic, partition), bytes)| ReplicaSize {
        topic,
        partition,
        broker,
        bytes,
    });
    Some((code, sizes.collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An answer with one folder, and two partitions of the topic `t`.
    fn answer(code: i16) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        put_count(&mut bytes, 1);
        bytes.extend(code.to_be_bytes());
        put_text(&mut bytes, "/data");
        put_count(&mut bytes, 1);
        put_text(&mut bytes, "t");
        put_count(&mut bytes, 2);
        for (number, size) in [(0_i32, 70_i64), (3, 1 << 40)] {
            bytes.extend(number.to_be_bytes());
            bytes.extend(size.to_be_bytes());
            bytes.extend([0; 9]);
        }
        bytes
    }

    #[test]
    fn sizes_are_read_and_a_cut_answer_is_none() {
        let (code, sizes) = read(Reply::new(answer(0)), 2).unwrap();
        let sizes = sizes.into_iter();
        let sizes = sizes.map(|size| (size.topic, size.partition, size.broker, size.bytes));
        let expected = [("t".to_owned(), 0, 2, 70), ("t".to_owned(), 3, 2, 1 << 40)];
        assert_eq!((code, sizes.collect::<Vec<_>>()), (0, expected.to_vec()));
        for length in 0..answer(0).len() {
            let cut = answer(0)[..length].to_vec();
            assert_eq!(read(Reply::new(cut), 2), None, "{length}");
        }
        assert_eq!(read(Reply::new(answer(56)), 2).unwrap().0, 56);
        assert_eq!(read(Reply::new(vec![0; 8]), 2).unwrap().0, 31);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(bytes: Vec<u8>) {
            let _ = read(Reply::new(bytes), 0);
        }
    }
}
