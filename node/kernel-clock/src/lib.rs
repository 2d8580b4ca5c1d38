//! Whether the kernel's clock is synchronised.
//!
//! chrony, ntpsec and systemd-timesyncd all report to the kernel. The kernel withdraws the flag if
//! no report comes for a long time. `timedatectl` shows the flag as "System clock synchronized". No
//! safe crate reads it, so this crate does, with the only unsafe call.

/// Whether a service has synchronised the clock. `None` if the kernel does not say, for example in
/// a sandbox that forbids the system call.
#[must_use]
pub fn is_synchronised() -> Option<bool> {
    #[cfg(target_os = "linux")]
    return adjtimex();
    #[cfg(not(target_os = "linux"))]
    return None;
}

#[cfg(target_os = "linux")]
fn adjtimex() -> Option<bool> {
    use std::mem::MaybeUninit;

    let mut clock = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the memory is ours, and zeros are a valid `timex`. Its `modes` of 0 changes nothing
    // and needs no privilege.
    let state = unsafe { libc::adjtimex(clock.as_mut_ptr()) };
    if state < 0 {
        return None;
    }
    // SAFETY: it was initialised with zeros, and the kernel has filled it in.
    let status = unsafe { clock.assume_init() }.status;
    Some(state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_gives_the_same_answer_twice() {
        assert_eq!(super::is_synchronised(), super::is_synchronised());
    }
}
