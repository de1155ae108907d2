//! `merit demo`: a whole trading day in a minute, through the real doors.

#![expect(dead_code, reason = "the verb that uses all of it binds to the server next")]

mod crowd;
mod curve;
mod profile;
mod random;
mod render;
