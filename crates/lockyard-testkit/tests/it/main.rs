//! The fault kit's suite: nothing that was acknowledged is ever lost, whatever fails and whenever.
//!
//! Every test prints its seed; `LOCKYARD_SEED` replays it. `LOCKYARD_ROUNDS` sets how many rounds of
//! concurrent work are cut off, and `LOCKYARD_EVERY=1` lets every call fail, not a sample.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this crate is a test, and it tells its seeds"
)]

mod audit;
mod directory;
mod disk;
mod faults;
mod late;
mod power;
mod rotation;
mod rounds;
mod script;
mod setting;
mod step;
