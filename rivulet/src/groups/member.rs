//! A member of a stage's group, as people see it.

use std::fmt;

use rivulet_core::text::plain;
use rivulet_kafka::FoundMember;
use serde::Serialize;

/// A process in a stage's group, displayed as `INSTANCE@HOST`. Any client can be in the group, with
/// any client id, so it is shown as [plain] text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupMember {
    /// The instance, or the whole client id if it is not a process of the stage.
    pub instance: String,
    /// The address of the process.
    pub host: String,
}

impl GroupMember {
    pub(crate) fn new(group: &str, member: &FoundMember) -> Self {
        Self::named(group, &member.client_id, &member.client_host)
    }

    fn named(group: &str, client: &str, host: &str) -> Self {
        let instance = client
            .strip_prefix(group)
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
        write!(f, "{}@{}", plain(&self.instance), plain(&self.host))
    }
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
        assert_eq!(
            GroupMember::named("ewma", "\u{1b}[2J\nconvert", "h\u{202e}").to_string(),
            "\\u{1b}[2J\\nconvert@h\\u{202e}"
        );
    }
}
