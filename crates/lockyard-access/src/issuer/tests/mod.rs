//! The issuer's grants and what an attacker tries on them, on a database of their own, with a clock
//! that the test winds.

mod assertions;
mod codes;
mod devices;
mod foreign;
mod forged;
mod grants;
mod identities;
mod keys;
mod sessions;
mod world;
