//! The directory's verbs, on a database of their own, with a clock that the test winds.

mod applications;
mod founding;
mod grants;
mod people;
mod world;
