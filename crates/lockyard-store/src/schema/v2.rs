//! Version 2 of the tables: a record of the instance may expire.
//!
//! Sessions, codes and used assertions are records that nobody needs after a time. The time stands
//! in the clear, so that a sweep finds what is over without opening it; the sealed value is bound
//! to it. A row without one, as version 1 wrote them all, stays until somebody deletes it.

pub(super) const EXPIRY: &str = "
ALTER TABLE instance_record ADD COLUMN expires_at {int};
CREATE INDEX instance_record_expiry ON instance_record (expires_at);
";
