//! Work that would keep a thread of the runtime from the other tasks that wait for it.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Messages of more bytes take a millisecond and more to decode, sign and convert.
const LARGE_BYTES: usize = 256 * 1024;

/// Does work that takes a while; tasks that wait for this thread go on elsewhere.
pub fn large<R>(work: impl FnOnce() -> R) -> R {
    let several = Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    if several { tokio::task::block_in_place(work) } else { work() }
}

/// Does work on a message of so many bytes: as [`large`] if it is one.
pub fn on_message<R>(bytes: usize, work: impl FnOnce() -> R) -> R {
    if bytes > LARGE_BYTES { large(work) } else { work() }
}
