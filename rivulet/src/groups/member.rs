//! A member of a consumer group, as the group's broker tells it.

use std::fmt;

use rdkafka::groups::GroupMemberInfo;

use super::Place;

/// A process in a stage's group; shown as `INSTANCE@HOST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// The instance; all that it calls itself if it is no process of the stage.
    pub instance: String,
    /// The address that it comes from.
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
        // Java shows an address without a name as `/10.42.0.250`.
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

/// The partitions in a member's assignment, which is written as Kafka's consumers do: a version,
/// and the topics, each with its partitions. Of one that is cut off or empty, those before the end.
pub(super) fn given(assignment: &[u8]) -> Vec<Place> {
    let mut places = Vec::new();
    let _ = read(assignment, &mut places);
    places
}

fn read(mut rest: &[u8], places: &mut Vec<Place>) -> Option<()> {
    let _version = take::<2>(&mut rest)?;
    let topics = i32::from_be_bytes(take(&mut rest)?);
    for _ in 0..topics {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, behind) = rest.split_at_checked(length)?;
        rest = behind;
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
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
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
    fn an_assignment_is_read_as_far_as_it_goes() {
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
        assert_eq!(given(&assignment), expected);
        assert_eq!(given(&assignment[..assignment.len() - 5]), expected[..2]);
        for length in 0..6 {
            assert!(given(&assignment[..length]).is_empty());
        }
        assert!(
            given(&[0, 1, 127, 255, 255, 255, 255, 255]).is_empty(),
            "no length is negative"
        );
    }
}
