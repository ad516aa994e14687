//! `lockyard admin rotate-service-key`: another service key for the instance. Offline: a server
//! holds the old one in memory.

use std::path::PathBuf;

use clap::Args;
use lockyard_base::RowId;
use lockyard_keyring::{Slot, SlotKind, SlotSecret};
use lockyard_registry::instance::{self as keys, Rotated};

use crate::{
    config::{DataConfig, DataFlags, Environment, ServiceSource},
    data_dir::{DataDir, DataDirError},
    failure::{Failure, OrFail as _, Outcome},
    instance::{OpenedStore, open_store},
    machine::Machine,
    say::say,
    service_secret,
};

/// The most secrets that one rotation takes: each passphrase is stretched once for each slot.
const SECRETS_MAX: usize = 16;

#[derive(Args, Debug)]
pub(super) struct Rotate {
    /// What opens another slot that is to stay: a key file, credential or recovery code; may be
    /// repeated
    #[arg(long, value_name = "FILE")]
    also_service_key: Vec<PathBuf>,
    /// The passphrase of another slot that is to stay; may be repeated
    #[arg(long, value_name = "FILE")]
    also_passphrase_file: Vec<PathBuf>,
    /// Drop the slots whose secrets are not given; they can be added again
    #[arg(long)]
    drop_others: bool,
    #[command(flatten)]
    data: DataFlags,
}

pub(super) fn rotate(command: Rotate, env: &Environment) -> Outcome {
    let Rotate { also_service_key, also_passphrase_file, drop_others, data } = command;
    let data = super::data(data, env)?;
    let files = also_service_key.into_iter().map(ServiceSource::File);
    let words = also_passphrase_file.into_iter().map(ServiceSource::Passphrase);
    let also: Vec<ServiceSource> = files.chain(words).collect();
    let dir = DataDir::existing(&data.data_dir).map_err(DataDirError::into_failure)?;
    let machine = Machine::real();
    let secrets = secrets(&data, &also)?;
    let OpenedStore { store, opened } = open_store(&dir, &data, &machine, false)?;
    let plan = keys::plan_slots(&store, secrets).or_fail()?;
    if let Some(idle) = plan.idle.first().and_then(|place| place.checked_sub(1)) {
        let source = also.get(idle).map(shown).unwrap_or_default();
        return Err(Failure::text(format!("`{source}` opens no slot that another does not"))
            .advise("nothing was changed; `lockyard admin slot list` shows the slots"));
    }
    if !plan.lost.is_empty() && !drop_others {
        let lost: Vec<String> = plan.lost.iter().map(in_words).collect();
        return Err(Failure::text(format!(
            "no secret was given for {}: a new service key cannot be sealed for it",
            lost.join(", ")
        ))
        .advise(
            "give it with `--also-service-key FILE` or `--also-passphrase-file FILE`, or drop it \
             with `--drop-others` and add it again; nothing was changed",
        ));
    }
    let rotated = keys::rotate_service_key(&store, opened, &machine.entropy, &plan).or_fail()?;
    // Also moves the log into the database, so that nothing sealed under the old key is left in it.
    store.close();
    tell(&rotated);
    Ok(())
}

fn secrets(data: &DataConfig, also: &[ServiceSource]) -> Outcome<Vec<Vec<(SlotKind, SlotSecret)>>> {
    if also.len() >= SECRETS_MAX {
        return Err(Failure::text(format!("at most {SECRETS_MAX} secrets are taken at once")));
    }
    let all = std::iter::once(&data.service).chain(also);
    all.map(|source| service_secret::read(source).or_fail()).collect()
}

fn tell(rotated: &Rotated) {
    let shares = match rotated.shares {
        1 => "1 service share was".to_owned(),
        shares => format!("{shares} service shares were"),
    };
    say("the instance has another service key from now on");
    say(format_args!("{shares} sealed under it, and the instance's own two keys"));
    for (id, kind) in &rotated.kept {
        say(format_args!("slot {} opens it, with the secret that it had", name(*id, *kind)));
    }
    for (id, kind) in &rotated.dropped {
        let name = name(*id, *kind);
        say(format_args!("slot {name} is gone: add it again with `lockyard admin slot add`"));
    }
    say("backups from before hold the old service key; they open with what opened them then:");
    for (id, kind) in rotated.kept.iter().chain(&rotated.dropped) {
        say(format_args!("  {}", name(*id, *kind)));
    }
    say("make a new backup now; once the old ones are deleted, the old service key opens nothing");
}

fn in_words(slot: &Slot) -> String {
    format!("slot {}", name(slot.id, slot.kind))
}

fn name(id: RowId, kind: SlotKind) -> String {
    format!("`{id}` ({})", kind.as_str())
}

fn shown(source: &ServiceSource) -> String {
    match source {
        ServiceSource::Passphrase(path)
        | ServiceSource::Credential(path)
        | ServiceSource::File(path)
        | ServiceSource::Beside(path) => path.display().to_string(),
    }
}
