//! How far a scrub came: kept as a sealed record of the instance, so that another one can go on.
//!
//! The record holds the report too: what an unfinished scrub found must not be forgotten by the one
//! that finishes it.

use lockyard_base::{RegistryId, RowId};

use super::report::{Finding, FindingKind, ScrubReport, ScrubTable};
use crate::{
    RegistryError,
    fields::{FieldReader, FieldWriter},
};

/// The kind and the name of the record.
pub(super) const KIND: &str = "scrub";
pub(super) const NAME: &[u8] = b"progress";

/// Everything before this place was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// `None` before the first registry and after the last.
    pub(super) registry: Option<RegistryId>,
    pub(super) table: ScrubTable,
    /// The last row of the table that was read.
    pub(super) after: Option<RowId>,
}

impl Position {
    /// The beginning.
    pub(super) const START: Self =
        Self { registry: None, table: ScrubTable::Database, after: None };
}

/// Lays a position and a report out; findings carry ids and no names.
pub(super) fn encode(position: &Position, report: &ScrubReport) -> FieldWriter {
    let capacity = 256 + report.findings.len() * 256;
    let mut fields = FieldWriter::with_capacity(capacity)
        .field(position.registry.as_ref().map_or(&[][..], |id| id.as_bytes()))
        .field(position.table.word().as_bytes())
        .field(position.after.as_ref().map_or(&[][..], |id| id.as_bytes()));
    for number in numbers(report) {
        fields = fields.field(&number.to_be_bytes());
    }
    fields = fields.field(&(report.findings.len() as u64).to_be_bytes());
    for finding in &report.findings {
        fields = fields
            .field(finding.kind.word().as_bytes())
            .field(finding.table.word().as_bytes())
            .field(finding.registry.as_ref().map_or(&[][..], |id| id.as_bytes()))
            .field(finding.row.as_ref().map_or(&[][..], |id| id.as_bytes()))
            .field(finding.sentence.as_bytes())
            .field(&[u8::from(finding.repaired)]);
    }
    fields
}

fn numbers(report: &ScrubReport) -> [u64; 6] {
    let ScrubReport { registries, registries_locked, rows, bytes, .. } = *report;
    let ScrubReport { blobs_quarantined, findings_total, .. } = *report;
    [registries, registries_locked, rows, bytes, blobs_quarantined, findings_total]
}

/// Reads what [`encode`] wrote; another version's record is no record.
pub(super) fn decode(bytes: &[u8]) -> Result<(Position, ScrubReport), RegistryError> {
    let mut fields = FieldReader::new(bytes)?;
    let position = Position {
        registry: id(&mut fields)?.map(RegistryId::from_bytes),
        table: ScrubTable::from_word(fields.text()?).ok_or(UNKNOWN)?,
        after: id(&mut fields)?.map(RowId::from_bytes),
    };
    let mut report = ScrubReport {
        registries: fields.number()?,
        registries_locked: fields.number()?,
        rows: fields.number()?,
        bytes: fields.number()?,
        blobs_quarantined: fields.number()?,
        findings_total: fields.number()?,
        ..ScrubReport::default()
    };
    for _ in 0..fields.number()? {
        report.findings.push(Finding {
            kind: FindingKind::from_word(fields.text()?).ok_or(UNKNOWN)?,
            table: ScrubTable::from_word(fields.text()?).ok_or(UNKNOWN)?,
            registry: id(&mut fields)?.map(RegistryId::from_bytes),
            row: id(&mut fields)?.map(RowId::from_bytes),
            sentence: fields.text()?.to_owned(),
            repaired: fields.field()? == [1],
        });
    }
    fields.end()?;
    Ok((position, report))
}

fn id(fields: &mut FieldReader<'_>) -> Result<Option<[u8; 16]>, RegistryError> {
    match fields.field()? {
        [] => Ok(None),
        bytes => Ok(Some(bytes.try_into().map_err(|_| UNKNOWN)?)),
    }
}

const UNKNOWN: RegistryError = RegistryError::Damaged("the progress of a scrub");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_back_as_written() {
        let finding = Finding {
            kind: FindingKind::PartMissing,
            table: ScrubTable::Blob,
            registry: Some(RegistryId::from_bytes([1; 16])),
            row: Some(RowId::from_bytes([2; 16])),
            sentence: "gone".to_owned(),
            repaired: false,
        };
        let repaired = Finding { registry: None, row: None, repaired: true, ..finding.clone() };
        let report = ScrubReport {
            registries: 1,
            registries_locked: 2,
            rows: 3,
            bytes: 4,
            blobs_quarantined: 5,
            findings_total: 6,
            findings: vec![finding, repaired],
            ..ScrubReport::default()
        };
        let somewhere = Position {
            registry: Some(RegistryId::from_bytes([7; 16])),
            table: ScrubTable::Tag,
            after: Some(RowId::from_bytes([8; 16])),
        };
        for position in [Position::START, somewhere] {
            let written = encode(&position, &report);
            let read = decode(written.as_slice()).expect("our own");
            assert_eq!(read, (position, report.clone()));
            let cut = &written.as_slice()[..written.as_slice().len() - 1];
            assert!(decode(cut).is_err());
        }
    }
}
