//! What payloads of version 2 say where version 3 says more: rules that do not bound the search.

use super::bytes::{Malformed, Take};

/// The bound that was the engine's own then.
pub(super) fn search_work(_: &mut Take<'_>) -> Result<u32, Malformed> {
    Ok(200_000)
}
