//! Consumer groups and their members, as the cluster lists them.

use rdkafka::groups::{GroupInfo, GroupMemberInfo};

/// A consumer group of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundGroup {
    /// Its name.
    pub name: String,
    /// Its state, such as `Stable`.
    pub state: String,
    /// Its members.
    pub members: Vec<FoundMember>,
}

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMember {
    /// The client's id.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
    /// The topics and partitions that it reads.
    pub partitions: Vec<(String, i32)>,
}

impl FoundGroup {
    pub(crate) fn new(group: &GroupInfo) -> Self {
        FoundGroup {
            name: group.name().to_owned(),
            state: group.state().to_owned(),
            members: group.members().iter().map(FoundMember::new).collect(),
        }
    }
}

impl FoundMember {
    fn new(member: &GroupMemberInfo) -> Self {
        FoundMember {
            client_id: member.client_id().to_owned(),
            client_host: member.client_host().to_owned(),
            partitions: assigned_partitions(member.assignment().unwrap_or_default()),
        }
    }
}

/// The partitions in a member's assignment, in the format of Kafka's consumer protocol: a version,
/// and the topics with their partitions. A truncated assignment is read as far as possible.
fn assigned_partitions(assignment: &[u8]) -> Vec<(String, i32)> {
    let mut places = Vec::new();
    let _ = read(assignment, &mut places);
    places
}

fn read(mut rest: &[u8], places: &mut Vec<(String, i32)>) -> Option<()> {
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
