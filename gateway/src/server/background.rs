//! Work that the market need not wait for.

/// How much less than its share a thread gets that steps back: a tenth of what one gets that does not, for each step weighs a
/// fifth less (sched(7), "The nice value"). Not less: while orders take every processor it should still come on.
#[cfg(target_os = "linux")]
const STEPS: i32 = 10;

/// From now on the threads that orders wait for come before this one, and before those that it starts. Where processors are
/// idle it loses nothing. It must hold no lock that they need: whoever waits for it waits until it gets its turn.
///
/// On Linux the nice value is a thread's own; elsewhere it may be the process's, so nothing is done.
pub fn step_back() {
    // It always may be raised; if not, the thread is as fast as it was.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(STEPS);
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::{STEPS, step_back};

    /// Of the thread that asks (proc(5): the 19th field; those after the name, which is in brackets, are numbers).
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        rest.split(' ').nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn a_thread_that_steps_back_takes_those_it_starts_with_it_and_no_other() {
        let before = nice();
        let stepped = std::thread::spawn(|| {
            step_back();
            (nice(), std::thread::spawn(nice).join().unwrap())
        });
        let lowest = (before + STEPS).min(19);
        assert_eq!(stepped.join().unwrap(), (lowest, lowest));
        assert_eq!(nice(), before);
    }
}
