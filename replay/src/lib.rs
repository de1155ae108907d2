//! The journal, recovery and the one caller of the engine.
