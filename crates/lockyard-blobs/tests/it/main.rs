//! The room through its public face: everything a caller may rely on, and every way it may fail.

mod damage;
mod export;
mod faults;
mod list;
mod lock;
mod read;
mod support;
mod write;
