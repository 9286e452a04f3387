//! Signals that whoever has started this process wants it to ignore, as `nohup` does.

use std::fs;

use nix::sys::signal::Signal;

/// True where this process ignores the signal; before anything listens to it, that is what it was started with.
pub fn is_ignored(signal: Signal) -> bool {
    fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| mask(&status).is_some_and(has(signal)))
}

/// The ignored signals that a `status` tells, the first one in the lowest bit.
fn mask(status: &str) -> Option<u64> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn has(signal: Signal) -> impl Fn(u64) -> bool {
    move |mask| mask & (1 << (signal as i32 - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_bits_of_a_mask() {
        let of_nohup =
            "Name:\tclearml-agent\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n";
        let mask = mask(of_nohup).expect("a mask");
        assert!(has(Signal::SIGHUP)(mask) && has(Signal::SIGPIPE)(mask));
        assert!(!has(Signal::SIGINT)(mask));
        // The runtime of this language ignores it.
        assert!(is_ignored(Signal::SIGPIPE));
    }
}
