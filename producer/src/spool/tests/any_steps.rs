//! Any steps, with restarts and power cuts between them.

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Push(u8),
    Sync,
    Pop(u8),
    Commit,
    /// Stops the process or cuts the power, and resumes at the last commit.
    Restart {
        power: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..80_u8).prop_map(Step::Push),
        4 => Just(Step::Sync),
        4 => (1..90_u8).prop_map(Step::Pop),
        3 => Just(Step::Commit),
        1 => any::<bool>().prop_map(|power| Step::Restart { power }),
    ]
}

proptest! {
    // Few cases, because each syncs the disk many times.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Compares the spool with a plain list.
    #[test]
    fn nothing_is_lost_duplicated_or_reordered(
        steps in proptest::collection::vec(step(), 1..60),
        newest in any::<bool>(),
        large in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let when_full = if newest { WhenFull::DropNewest } else { WhenFull::DropOldest };
        let (size, padding) = if large { (100 * MB, 300) } else { (MB, 3000) };
        let reopen = |folder: &TempDir| open_full(folder.path(), size, when_full);
        let mut spool = reopen(&folder);
        // The sequence numbers of the records in the spool, by the number of the record.
        let mut pushed: Vec<u64> = Vec::new();
        let (mut seq, mut synced) = (0, 0);
        let (mut at, mut committed) = (0, 0);
        for step in steps {
            match step {
                Step::Push(count) => for _ in 0..count {
                    push(&mut spool, seq, padding);
                    pushed.push(seq);
                    seq += 1;
                },
                Step::Sync => {
                    spool.sync(Some(seq.to_string())).unwrap();
                    synced = pushed.len();
                }
                Step::Pop(count) => for _ in 0..count {
                    let mut bytes = Vec::new();
                    match spool.pop(&mut bytes).unwrap() {
                        Some(Popped::Record(number)) => {
                            prop_assert_eq!(number, at);
                            let index = usize::try_from(number).unwrap();
                            prop_assert_eq!(seq_of(&bytes), pushed[index]);
                            at += 1;
                        }
                        Some(Popped::Lost(lost, next)) => {
                            prop_assert!(!large && lost > 0);
                            at += lost;
                            prop_assert_eq!(next, at);
                        }
                        None => {
                            if large {
                                prop_assert!(at >= synced as u64, "synced records can be popped");
                            }
                            break;
                        }
                    }
                },
                Step::Commit => {
                    committed = at;
                    spool.committed(committed);
                }
                Step::Restart { power } => {
                    if power { cut_power(spool) } else { drop(spool) }
                    spool = reopen(&folder);
                    let next = usize::try_from(spool.next_push).unwrap();
                    prop_assert!(next <= pushed.len());
                    if large {
                        prop_assert!(next >= synced && (power || next == pushed.len()));
                    }
                    pushed.truncate(next);
                    synced = next;
                    spool.seek(committed);
                    at = committed;
                }
            }
            prop_assert!(on_disk(&folder) <= size);
        }
    }
}
