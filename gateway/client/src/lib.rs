//! What a member's Rust program uses: connect, retry safely, resume.
