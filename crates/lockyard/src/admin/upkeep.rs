//! The scrub and the collection, as an operator starts them: how far they are, and what they came to.
//!
//! Findings name rows by their ids. What a dry run explains names repositories and digests: it goes
//! to the operator's terminal and into no log.

use std::time::Duration;

use lockyard_registry::{
    CollectMode, CollectReport, Finding, RegistryError, ScrubError, ScrubOptions, ScrubProgress,
    ScrubReport,
};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Report, UpkeepRequest, Verdict};
use crate::{
    failure::{Failure, OrFail as _, Outcome},
    instance::Instance,
};

/// How often progress is shown; also what keeps a silent connection from being given up.
pub(crate) const SHOW_EVERY: Duration = Duration::from_secs(1);

/// Performs a command until its end or until `cancel`, and says in `told` how far it is.
pub(crate) async fn perform(
    instance: &Instance,
    request: UpkeepRequest,
    cancel: &CancellationToken,
    told: &watch::Sender<String>,
) -> Outcome<Report> {
    match request {
        UpkeepRequest::Scrub { rate, resume, json } => {
            let progress = |progress: &ScrubProgress| {
                told.send_replace(progress_in_words(progress));
            };
            let options = ScrubOptions { rate, resume };
            let report = instance.registries.scrub(options, &progress, cancel).await;
            scrub_report(&report.map_err(|error| unfinished(&error))?, json)
        }
        UpkeepRequest::Collect { dry_run, json } => {
            told.send_replace("collecting".to_owned());
            let mode = if dry_run { CollectMode::Explain } else { CollectMode::Act };
            // May be cut off anywhere: each of its transactions is whole.
            let collecting = cancel.run_until_cancelled(instance.registries.collect(mode));
            match collecting.await {
                Some(report) => collect_report(mode, &report.or_fail()?, json),
                None => Err(Failure::text("the collection was stopped before its end")),
            }
        }
    }
}

fn unfinished(error: &ScrubError) -> Failure {
    let failure = Failure::new(error);
    match error {
        ScrubError::Running => failure.advise("wait for its end"),
        ScrubError::Registry(_) => {
            failure.advise("when that is mended, `lockyard scrub --resume` goes on from there")
        }
    }
}

fn progress_in_words(progress: &ScrubProgress) -> String {
    let ScrubProgress { registry, table, rows, bytes, findings } = progress;
    let place = registry.map_or_else(|| "instance".to_owned(), |id| format!("registry {id}"));
    let (table, megabytes) = (table.word(), bytes >> 20);
    format!("{place}, {table}: {rows} rows, {megabytes} MiB, {findings} findings")
}

fn scrub_report(report: &ScrubReport, json: bool) -> Outcome<Report> {
    let verdict = match (report.findings_total, report.complete) {
        (0, true) => Verdict::Clean,
        (0, false) => Verdict::Unfinished,
        _ => Verdict::Findings,
    };
    let lines = if json { in_json(&ScrubJson::new(report))? } else { scrub_in_words(report) };
    Ok(Report { lines, verdict })
}

fn scrub_in_words(report: &ScrubReport) -> Vec<String> {
    let mut lines: Vec<String> = report.findings.iter().map(finding_in_words).collect();
    let unlisted = report.findings_total - report.findings.len() as u64;
    if unlisted > 0 {
        lines.push(format!("and {unlisted} more"));
    }
    let registries = counted(report.registries, "registry", "registries");
    let rows = counted(report.rows, "row or file", "rows and files");
    lines.push(format!("read {registries}: {rows}, {} MiB", report.bytes >> 20));
    if report.blobs_quarantined > 0 {
        let blobs = counted(report.blobs_quarantined, "damaged blob", "damaged blobs");
        lines.push(format!("not served until pushed again: {blobs}"));
    }
    if report.registries_locked > 0 {
        let registries = counted(report.registries_locked, "locked registry", "locked registries");
        lines.push(format!("left out: {registries}"));
    }
    if !report.complete {
        lines.push("stopped before its end; `lockyard scrub --resume` goes on".to_owned());
    }
    lines.push(match report.findings_total {
        0 => "nothing is wrong".to_owned(),
        findings => counted(findings, "finding", "findings"),
    });
    lines
}

fn finding_in_words(finding: &Finding) -> String {
    let Finding { kind, table, row, sentence, repaired, .. } = finding;
    let row = row.map(|id| format!(" {id}")).unwrap_or_default();
    let repaired = if *repaired { " (put right)" } else { "" };
    format!("{} in {}{row}: {sentence}{repaired}", kind.word(), table.word())
}

fn collect_report(mode: CollectMode, report: &CollectReport, json: bool) -> Outcome<Report> {
    let verdict = if report.kept > 0 { Verdict::Findings } else { Verdict::Clean };
    let dry_run = mode == CollectMode::Explain;
    let lines = if json {
        in_json(&CollectJson {
            dry_run,
            links: report.links,
            blobs: report.blobs,
            kept: report.kept,
            registries_locked: report.registries_locked,
            explanations: dry_run.then_some(&report.explanations),
        })?
    } else {
        collect_in_words(dry_run, report)
    };
    Ok(Report { lines, verdict })
}

fn collect_in_words(dry_run: bool, report: &CollectReport) -> Vec<String> {
    let mut lines = report.explanations.clone();
    let links = counted(report.links, "blob", "blobs");
    lines.push(if dry_run {
        format!("would take {links} from repositories; what no other repository has would go")
    } else {
        format!("took {links} from repositories, {} of them for good", report.blobs)
    });
    if report.kept > 0 {
        let kept = counted(report.kept, "blob", "blobs");
        lines.push(format!("kept {kept} that the clear columns give up: run `lockyard scrub`"));
    }
    if report.registries_locked > 0 {
        let registries = counted(report.registries_locked, "locked registry", "locked registries");
        lines.push(format!("left alone: {registries}"));
    }
    lines
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The scrub's report for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScrubJson<'r> {
    complete: bool,
    resumed: bool,
    registries: u64,
    registries_locked: u64,
    rows: u64,
    bytes: u64,
    blobs_quarantined: u64,
    findings_total: u64,
    findings: Vec<FindingJson<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingJson<'r> {
    kind: &'static str,
    table: &'static str,
    registry: Option<String>,
    row: Option<String>,
    sentence: &'r str,
    repaired: bool,
}

/// The collection's report for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CollectJson<'r> {
    dry_run: bool,
    links: u64,
    blobs: u64,
    kept: u64,
    registries_locked: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanations: Option<&'r Vec<String>>,
}

impl<'r> ScrubJson<'r> {
    fn new(report: &'r ScrubReport) -> Self {
        Self {
            complete: report.complete,
            resumed: report.resumed,
            registries: report.registries,
            registries_locked: report.registries_locked,
            rows: report.rows,
            bytes: report.bytes,
            blobs_quarantined: report.blobs_quarantined,
            findings_total: report.findings_total,
            findings: report.findings.iter().map(FindingJson::new).collect(),
        }
    }
}

impl<'r> FindingJson<'r> {
    fn new(finding: &'r Finding) -> Self {
        Self {
            kind: finding.kind.word(),
            table: finding.table.word(),
            registry: finding.registry.map(|id| id.to_string()),
            row: finding.row.map(|id| id.to_string()),
            sentence: &finding.sentence,
            repaired: finding.repaired,
        }
    }
}

/// A report as lines of one JSON document.
fn in_json(report: &impl Serialize) -> Outcome<Vec<String>> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|_| RegistryError::Internal("a report is JSON"))
        .or_fail()?;
    Ok(text.lines().map(str::to_owned).collect())
}
