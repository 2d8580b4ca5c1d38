//! A member of a consumer group.

use std::fmt;

use rdkafka::groups::GroupMemberInfo;

use super::InputPartition;

/// A process in a stage's group, displayed as `INSTANCE@HOST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// The instance, or the whole client id if it is not a process of the stage.
    pub instance: String,
    /// The address of the process.
    pub host: String,
}

impl GroupMember {
    pub(super) fn new(stage: &str, member: &GroupMemberInfo) -> Self {
        Self::named(stage, member.client_id(), member.client_host())
    }

    fn named(stage: &str, client: &str, host: &str) -> Self {
        let instance = client
            .strip_prefix(stage)
            .and_then(|rest| rest.strip_prefix('@'))
            .unwrap_or(client);
        // Java prints an address without a host name as `/10.42.0.250`.
        GroupMember {
            instance: instance.to_owned(),
            host: host.trim_start_matches('/').to_owned(),
        }
    }
}

impl fmt::Display for GroupMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.instance, self.host)
    }
}

/// The partitions in a member's assignment, in the format of Kafka's consumer protocol: a version,
/// and the topics with their partitions. A truncated assignment is read as far as possible.
pub(super) fn assigned_partitions(assignment: &[u8]) -> Vec<InputPartition> {
    let mut places = Vec::new();
    let _ = read(assignment, &mut places);
    places
}

fn read(mut rest: &[u8], places: &mut Vec<InputPartition>) -> Option<()> {
    let _version = take::<2>(&mut rest)?;
    let topics = i32::from_be_bytes(take(&mut rest)?);
    for _ in 0..topics {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        rest = after;
        let name = String::from_utf8_lossy(name);
        let partitions = i32::from_be_bytes(take(&mut rest)?);
        for _ in 0..partitions {
            places.push((
                name.clone().into_owned(),
                i32::from_be_bytes(take(&mut rest)?),
            ));
        }
    }
    Some(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_shown_by_its_instance_and_address() {
        assert_eq!(
            GroupMember::named("ewma", "ewma@rpi2", "/10.42.0.252").to_string(),
            "rpi2@10.42.0.252"
        );
        assert_eq!(
            GroupMember::named("ewma", "rivulet", "10.42.0.1").to_string(),
            "rivulet@10.42.0.1"
        );
        assert_eq!(
            GroupMember::named("ewma", "ewma-2@rpi2", "h").to_string(),
            "ewma-2@rpi2@h"
        );
    }

    #[test]
    fn an_assignment_is_read_as_far_as_possible() {
        let mut assignment = vec![0, 1, 0, 0, 0, 2];
        for (length, name, partitions) in [(1, "a", 2), (2, "bc", 1)] {
            assignment.extend([0, length]);
            assignment.extend(name.as_bytes());
            assignment.extend([0, 0, 0, partitions]);
            (0..partitions).for_each(|partition| assignment.extend([0, 0, 0, partition]));
        }
        // No user data.
        assignment.extend([255; 4]);
        let expected = [
            ("a".to_owned(), 0),
            ("a".to_owned(), 1),
            ("bc".to_owned(), 0),
        ];
        assert_eq!(assigned_partitions(&assignment), expected);
        assert_eq!(
            assigned_partitions(&assignment[..assignment.len() - 5]),
            expected[..2]
        );
        for length in 0..6 {
            assert!(assigned_partitions(&assignment[..length]).is_empty());
        }
        assert!(
            assigned_partitions(&[0, 1, 127, 255, 255, 255, 255, 255]).is_empty(),
            "a negative length is invalid"
        );
    }
}
