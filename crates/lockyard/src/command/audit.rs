//! `lockyard audit`: reading the audit trail. Files are only read, so that a running server need not
//! be asked, and what it would say need not be believed.
//!
//! Exit codes of `verify`: 0 if all is well, 3 if something is not as it was written, 1 if nothing
//! could be found out.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, Subcommand};
use lockyard_audit::{
    AuditSecret, Checkpoint, Entry, Reader, Reading, Report, newest_checkpoint, verify,
};
use lockyard_blobs::SystemDisk;
use lockyard_vault::VaultRootKey;
use serde_json::json;

use crate::{
    config::{DataConfig, DataFlags, Environment},
    failure::{Failure, OrFail as _, Outcome},
    private_file,
    say::say,
};

/// Exit code for findings.
const FINDINGS: u8 = 3;
/// How often a reader that follows looks for more.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// The most that is read of a checkpoint's file.
const CHECKPOINT_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Say whether anything was changed, dropped, moved, forged or taken back
    Verify(Verify),
    /// Show the newest events, one line of JSON each
    Tail(Tail),
    /// Show the newest signed checkpoint, to be kept elsewhere for `verify --checkpoint`
    Checkpoint(Newest),
}

#[derive(Args, Debug)]
pub(super) struct Verify {
    /// A checkpoint that was kept elsewhere; may be given many times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Check chain and signatures only; needs no key, and trusts the checkpoints that are given
    #[arg(long)]
    without_key: bool,
    /// Report in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct Tail {
    /// How many events
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: usize,
    /// Go on with new events as they come
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct Newest {
    #[command(flatten)]
    data: DataFlags,
}

pub(super) fn run(command: AuditCommand, env: &Environment) -> Outcome<ExitCode> {
    match command {
        AuditCommand::Verify(command) => verify_trail(command, env),
        AuditCommand::Tail(command) => tail(command, env).map(|()| ExitCode::SUCCESS),
        AuditCommand::Checkpoint(command) => newest(command, env).map(|()| ExitCode::SUCCESS),
    }
}

fn verify_trail(command: Verify, env: &Environment) -> Outcome<ExitCode> {
    let Verify { checkpoint, without_key, json, data } = command;
    let data = super::data(data, env)?;
    let kept = checkpoint.iter().map(kept).collect::<Outcome<Vec<Checkpoint>>>()?;
    let secret = if without_key { None } else { Some(secret(&data)?) };
    let report = verify(&SystemDisk, &data.audit_dir, secret.as_ref(), &kept)
        .map_err(|error| unreadable(&data, &error))?;
    if json {
        say(in_json(&report));
    } else {
        super::print(in_words(&report, kept.len()));
    }
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

fn tail(command: Tail, env: &Environment) -> Outcome {
    let Tail { lines, follow, data } = command;
    let data = super::data(data, env)?;
    let mut reader = Reader::open(Arc::new(SystemDisk), data.audit_dir.clone(), &secret(&data)?)
        .map_err(|error| unreadable(&data, &error))?;
    show(&reader.tail(lines).or_fail()?);
    if !follow {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().or_fail()?;
    runtime.block_on(async {
        loop {
            tokio::select! {
                biased;
                _ = tokio::signal::ctrl_c() => return Ok(()),
                () = tokio::time::sleep(FOLLOW_EVERY) => show(&reader.more().or_fail()?),
            }
        }
    })
}

fn newest(command: Newest, env: &Environment) -> Outcome {
    let data = super::data(command.data, env)?;
    let newest = newest_checkpoint(&SystemDisk, &data.audit_dir)
        .map_err(|error| unreadable(&data, &error))?
        .ok_or_else(|| {
            Failure::text("the audit trail has no checkpoint yet")
                .advise("a server signs one at least once in a minute in which something happens")
        })?;
    say(newest.to_json());
    Ok(())
}

fn show(reading: &Reading) {
    for Entry { json, .. } in &reading.entries {
        say(json);
    }
    if reading.damaged {
        crate::say::complain("some records are not as they were written: `lockyard audit verify`");
    }
}

/// The vault's key opens its trail; its database is not needed.
fn secret(data: &DataConfig) -> Outcome<AuditSecret> {
    Ok(VaultRootKey::read(&data.vault_key).or_fail()?.audit_secret())
}

fn kept(path: &PathBuf) -> Outcome<Checkpoint> {
    let context = format!("cannot use the checkpoint in `{}`", path.display());
    let text = std::fs::File::open(path)
        .and_then(|file| private_file::read_limited(file, CHECKPOINT_BYTES_MAX))
        .map_err(|error| Failure::new(&error).context(&context))?;
    Checkpoint::from_json(&text).map_err(|error| Failure::new(&error).context(&context))
}

fn unreadable(data: &DataConfig, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(error)
        .context(&format!("cannot read the audit trail in `{}`", data.audit_dir.display()))
        .advise("give its directory with `--audit-dir DIR` or the vault's with `--vault-dir DIR`")
}

fn in_words(report: &Report, kept: usize) -> Vec<String> {
    let Report { node, public_key, first, last, events, checkpoints, segments, opened, .. } =
        report;
    let mut lines = vec![
        format!("node:         {node}"),
        format!("public key:   {public_key}"),
        format!(
            "records:      {first} to {last}, {events} events and {checkpoints} checkpoints in {segments} segments"
        ),
        format!("opened:       {}", if *opened { "every event" } else { "none, only the chain" }),
        format!("kept:         {kept} checkpoints from elsewhere"),
    ];
    lines.extend(report.notices.iter().map(|notice| format!("notice:       {notice}")));
    lines.extend(report.findings.iter().map(|finding| format!("finding:      {finding}")));
    lines.push(match report.findings.len() {
        0 if kept == 0 => {
            "no findings; whether the end was cut off only a checkpoint from elsewhere can tell"
                .to_owned()
        }
        0 => "no findings".to_owned(),
        1 => "1 finding".to_owned(),
        more => format!("{more} findings"),
    });
    lines
}

fn in_json(report: &Report) -> serde_json::Value {
    let findings = report.findings.iter().map(|finding| {
        json!({
            "what": format!("{:?}", finding.what),
            "segment": finding.segment,
            "offset": finding.offset,
            "first": finding.first,
            "last": finding.last,
            "text": finding.to_string(),
        })
    });
    json!({
        "node": report.node.to_string(),
        "publicKey": report.public_key.to_string(),
        "first": report.first,
        "last": report.last,
        "events": report.events,
        "checkpoints": report.checkpoints,
        "segments": report.segments,
        "opened": report.opened,
        "findings": findings.collect::<Vec<_>>(),
        "notices": report.notices.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
