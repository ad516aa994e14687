//! How far the trail was sent: the node and the number of a record, in a small file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lockyard_audit::Sequence;
use lockyard_base::NodeId;

use crate::{
    failure::{Failure, Outcome},
    private_file,
};

const FILE: &str = "audit-otlp.sent";

/// The file.
pub(super) struct PlaceFile {
    path: PathBuf,
    node: NodeId,
}

impl PlaceFile {
    /// The file of the trail of this node.
    pub(super) fn in_directory(directory: &Path, node: NodeId) -> Self {
        Self { path: directory.join(FILE), node }
    }

    /// The number of the last record that was sent; 0 if none was, or if it was another trail's.
    pub(super) fn read(&self) -> Outcome<u64> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            read => read.map_err(|error| Failure::new(&error).context(&self.context()))?,
        };
        let number = text.trim().split_once(' ').and_then(|(node, number)| {
            let number = number.parse().ok()?;
            Some(if node == self.node.to_string() { number } else { 0 })
        });
        number.ok_or_else(|| {
            Failure::text("it is damaged")
                .context(&self.context())
                .advise("remove it: the whole trail is sent anew then")
        })
    }

    /// Keeps that everything up to this record was sent.
    pub(super) fn keep(&self, sent: Sequence) -> io::Result<()> {
        private_file::replace(&self.path, format!("{} {sent}\n", self.node).as_bytes())
    }

    fn context(&self) -> String {
        format!(
            "cannot read `{}`, which says how far the audit trail was sent",
            self.path.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_trail_is_kept_and_that_of_another_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let place =
            |node: u8| PlaceFile::in_directory(folder.path(), NodeId::from_bytes([node; 16]));
        assert_eq!(place(1).read().unwrap(), 0);
        place(1).keep(Sequence::new(7)).unwrap();
        assert_eq!((place(1).read().unwrap(), place(2).read().unwrap()), (7, 0));
        for damaged in ["", "7", "x y\n", "\u{0}"] {
            fs::write(folder.path().join(FILE), damaged).unwrap();
            let error = place(1).read().expect_err(damaged);
            assert!(format!("{error:?}").contains("remove it"), "{error:?}");
        }
    }
}
