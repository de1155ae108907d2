//! Work that the market need not wait for.

/// What a thread's work is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Somebody may wait for it, sooner or later.
    Soon,
    /// Nobody waits for it.
    Whenever,
}

impl Work {
    /// Steps of the nice value. Five leave a third of what a thread gets that does not step back, ten a tenth (Linux weighs
    /// them 335, 110 and 1,024: sched(7), "The nice value"): while orders take every processor it still comes on.
    const fn steps(self) -> i32 {
        match self {
            Self::Soon => 5,
            Self::Whenever => 10,
        }
    }
}

/// From now on the threads that orders wait for come before this one, and before those that it starts. Where processors are
/// idle it loses nothing. It must hold no lock for long that they need.
///
/// On Linux the nice value is a thread's own; elsewhere it may be the process's, so nothing is done.
pub fn step_back(work: Work) {
    let steps = work.steps();
    // It always may be raised; if not, the thread is as fast as it was.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(steps);
    #[cfg(not(target_os = "linux"))]
    let _ = steps;
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::{Work, step_back};

    /// Of the thread that asks (proc(5): the 19th field; those after the name, which is in brackets, are numbers).
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        rest.split(' ').nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn a_thread_that_steps_back_takes_those_it_starts_with_it_and_no_other() {
        let before = nice();
        for (work, steps) in [(Work::Soon, 5), (Work::Whenever, 10)] {
            let stepped = std::thread::spawn(move || {
                step_back(work);
                (nice(), std::thread::spawn(nice).join().unwrap())
            });
            let lowest = (before + steps).min(19);
            assert_eq!(stepped.join().unwrap(), (lowest, lowest));
            assert_eq!(nice(), before);
        }
    }
}
