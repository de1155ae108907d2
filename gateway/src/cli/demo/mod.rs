//! `merit demo`: a whole trading day in a minute, through the real doors.

mod crowd;
mod curve;
mod profile;
mod random;
mod render;
