//! What a scrub is told, what it says on the way, and what it found.
//!
//! Findings carry ids and no names or digests, so that they may stand in any log and in a progress
//! record.

use lockyard_base::{RegistryId, RowId};
use thiserror::Error;

use crate::RegistryError;

/// Findings that a report lists; more are counted.
pub const FINDINGS_MAX: usize = 1000;

/// How to scrub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Bytes per second that are read at most; `None` for as fast as it goes. Zero counts as one.
    pub rate: Option<u64>,
    /// Whether to go on where an unfinished scrub stopped, if one did, and not at the beginning.
    pub resume: bool,
}

/// Why a scrub came to no report.
#[derive(Debug, Error)]
pub enum ScrubError {
    /// One at a time.
    #[error("a scrub is running already")]
    Running,
    /// Something that the scrub needs failed; its progress is kept.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Where a scrub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubProgress {
    /// The registry that is being read; `None` for what belongs to the whole instance.
    pub registry: Option<RegistryId>,
    /// The table.
    pub table: ScrubTable,
    /// Rows and files that were looked at.
    pub rows: u64,
    /// Bytes that were opened.
    pub bytes: u64,
    /// What was found so far.
    pub findings: u64,
}

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Whether it came to its end; if not, another one may go on where it stopped.
    pub complete: bool,
    /// Whether it went on where another one had stopped; then the numbers include that one's.
    pub resumed: bool,
    /// Registries that were read.
    pub registries: u64,
    /// Registries that were left out, or left in the middle, because they are locked.
    pub registries_locked: u64,
    /// Rows and files that were looked at.
    pub rows: u64,
    /// Bytes that were opened.
    pub bytes: u64,
    /// Blobs that were marked, so that the next push of their content heals them.
    pub blobs_quarantined: u64,
    /// How much was found wrong.
    pub findings_total: u64,
    /// The first [`FINDINGS_MAX`] of it.
    pub findings: Vec<Finding>,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// In which table.
    pub table: ScrubTable,
    /// In which registry; `None` for what belongs to the whole instance.
    pub registry: Option<RegistryId>,
    /// The row, or the part whose file it is; `None` for what has no id.
    pub row: Option<RowId>,
    /// What is wrong and what follows from it, for a person.
    pub sentence: String,
    /// Whether it was put right.
    pub repaired: bool,
}

/// Makes an enum whose members have fixed words, for records and reports.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $member:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $member,)*
        }

        impl $name {
            /// All members, in order.
            pub const ALL: &[Self] = &[$(Self::$member),*];

            /// The member's fixed word.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$member => $word,)*
                }
            }

            pub(super) fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.word() == word)
            }
        }
    };
}

words! {
    /// What a scrub reads, in the order in which it does.
    ScrubTable {
        /// The database's own file.
        Database = "database",
        /// The rows of registries.
        Registry = "registry",
        /// Wrapped customer shares.
        Wrap = "wrap",
        /// Sealed records of the instance.
        Record = "instance_record",
        /// Repositories. From here to [`ScrubTable::Part`], one registry after the other.
        Repository = "repository",
        /// Manifests and their edges.
        Manifest = "manifest",
        /// Tags.
        Tag = "tag",
        /// Blobs, with the content of their parts.
        Blob = "blob",
        /// Links from repositories to blobs.
        Link = "blob_link",
        /// Upload sessions, with the content of their parts.
        Upload = "upload",
        /// Parts, as rows name them.
        Part = "part",
        /// What lies in the part store, compared with the rows of all registries.
        File = "file",
    }
}

words! {
    /// What kind of thing is wrong.
    FindingKind {
        /// The database's file is damaged: restore it.
        DatabaseDamaged = "database-damaged",
        /// A table's columns cannot be read; the rest of it was left out.
        TableUnreadable = "table-unreadable",
        /// A sealed row does not open, or says something else than its columns.
        RowDamaged = "row-damaged",
        /// A manifest's bytes are not those of its digest, or are no manifest.
        ContentDamaged = "content-damaged",
        /// A manifest names something that no edge says; put right if that was possible.
        EdgeMissing = "edge-missing",
        /// An edge says something that its manifest does not name.
        EdgeSurplus = "edge-surplus",
        /// A manifest needs a blob that its repository does not have.
        ChildMissing = "child-missing",
        /// A tag leads to another manifest than it was pointed at.
        TagAstray = "tag-astray",
        /// A link leads to another blob than it was made for.
        LinkAstray = "link-astray",
        /// A blob's or an upload's part is gone.
        PartMissing = "part-missing",
        /// A blob's or an upload's part is not what was sealed, or the whole has another digest.
        PartDamaged = "part-damaged",
        /// A part could not be read now: the disk or the file system failed.
        PartUnreadable = "part-unreadable",
        /// A blob was found damaged before and has not been pushed again since.
        Quarantined = "quarantined",
        /// A live part that no row names, or none that opens.
        PartUnnamed = "part-unnamed",
        /// A part that two rows name.
        PartNamedTwice = "part-named-twice",
        /// A part that a row names and that is not live: its bytes may go at any time.
        PartNotLive = "part-not-live",
        /// A live part without a file.
        FileMissing = "file-missing",
        /// A file of a part that no row knows.
        FileUnknown = "file-unknown",
        /// Something in the part store that is no part.
        Stranger = "stranger",
        /// A directory of the part store cannot be listed.
        FilesUnreadable = "files-unreadable",
    }
}

impl ScrubReport {
    /// Adds a finding, or only counts it if there are many.
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_and_none_means_two_things() {
        for table in ScrubTable::ALL {
            assert_eq!(ScrubTable::from_word(table.word()), Some(*table));
        }
        for kind in FindingKind::ALL {
            assert_eq!(FindingKind::from_word(kind.word()), Some(*kind));
        }
    }

    #[test]
    fn a_report_lists_findings_up_to_its_limit_and_counts_the_rest() {
        let finding = Finding {
            kind: FindingKind::Stranger,
            table: ScrubTable::File,
            registry: None,
            row: None,
            sentence: String::new(),
            repaired: false,
        };
        let mut report = ScrubReport::default();
        for (n, listed) in [(1, 1), (FINDINGS_MAX, FINDINGS_MAX), (FINDINGS_MAX + 1, FINDINGS_MAX)]
        {
            while report.findings_total < n as u64 {
                report.add(finding.clone());
            }
            assert_eq!(report.findings.len(), listed);
        }
    }
}
