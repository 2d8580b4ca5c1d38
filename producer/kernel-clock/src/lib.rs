//! Whether the kernel's clock is synchronised.
//!
//! The kernel knows, whatever service keeps its clock: chrony, ntpsec and systemd-timesyncd all
//! tell it, and it takes the word back when none has done so for long. `timedatectl` shows the same
//! as "System clock synchronized". No safe crate asks, so this one does, with the only unsafe call.

/// Whether a service has synchronised the clock; nothing where the kernel does not say, such as in
/// a sandbox that forbids the question.
#[must_use]
pub fn is_synchronised() -> Option<bool> {
    #[cfg(target_os = "linux")]
    return ask();
    #[cfg(not(target_os = "linux"))]
    return None;
}

#[cfg(target_os = "linux")]
fn ask() -> Option<bool> {
    use std::mem::MaybeUninit;

    let mut clock = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the place is ours, and zeros are a valid `timex`: its `modes` of 0 changes nothing
    // and needs no right.
    let state = unsafe { libc::adjtimex(clock.as_mut_ptr()) };
    if state < 0 {
        return None;
    }
    // SAFETY: it was whole as zeros, and the kernel has filled it in.
    let status = unsafe { clock.assume_init() }.status;
    Some(state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_answers_and_says_the_same_twice() {
        assert_eq!(super::is_synchronised(), super::is_synchronised());
    }
}
