//! `lockyard admin slot`: the ways to open the service key. Offline: the server must be stopped.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lockyard_base::RowId;
use lockyard_keyring::{SlotKind, SlotSecret};
use lockyard_registry::instance as keys;

use crate::{
    config::{DataConfig, DataFlags, Environment},
    data_dir::{DataDir, DataDirError},
    failure::{Failure, OrFail as _, Outcome},
    instance::{OpenedStore, open_store},
    machine::Machine,
    say::say,
    service_secret,
};

#[derive(Debug, Subcommand)]
pub(super) enum SlotCommand {
    /// List the ways to open the service key
    List(List),
    /// Add one
    Add(Add),
    /// Remove one; the last one stays
    Remove(Remove),
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct Add {
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    data: DataFlags,
}

/// Exactly one way.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Way {
    /// A passphrase of at least 12 characters, from this file or `-` for standard input
    #[arg(long, value_name = "FILE")]
    new_passphrase: Option<PathBuf>,
    /// A key file, made if it is not there
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,
    /// What this file holds, to be passed by systemd as the credential lockyard-service-key
    #[arg(long, value_name = "FILE")]
    new_credential: Option<PathBuf>,
    /// A recovery code, shown once
    #[arg(long)]
    recovery: bool,
}

#[derive(Args, Debug)]
pub(super) struct Remove {
    /// The slot's id, as `list` shows it
    id: String,
    #[command(flatten)]
    data: DataFlags,
}

pub(super) fn run(command: SlotCommand, env: &Environment) -> Outcome {
    match command {
        SlotCommand::List(List { data }) => list(&open(data, env)?),
        SlotCommand::Add(Add { way, data }) => add(&open(data, env)?, way),
        SlotCommand::Remove(Remove { id, data }) => remove(&open(data, env)?, &id),
    }
}

/// An instance whose slots can be changed.
struct Slots {
    _dir: DataDir,
    machine: Machine,
    instance: OpenedStore,
}

fn open(flags: DataFlags, env: &Environment) -> Outcome<Slots> {
    let data: DataConfig = super::data(flags, env)?;
    let dir = DataDir::existing(&data.data_dir).map_err(DataDirError::into_failure)?;
    let machine = Machine::real();
    let instance = open_store(&dir, &data, &machine, false)?;
    Ok(Slots { _dir: dir, machine, instance })
}

fn list(slots: &Slots) -> Outcome {
    for slot in keys::slots(&slots.instance.store).or_fail()? {
        say(format_args!("{}  {}", slot.id, slot.kind.as_str()));
    }
    Ok(())
}

fn add(slots: &Slots, way: Way) -> Outcome {
    let entropy = &*slots.machine.entropy;
    let mut code = None;
    let (kind, secret) = match way {
        Way { new_passphrase: Some(file), .. } => {
            service_secret::new_passphrase(&file).or_fail()?
        }
        Way { new_key_file: Some(file), .. } => {
            let secret = if file.exists() {
                service_secret::read_file(&file)
            } else {
                service_secret::create(&file, entropy)
            };
            (SlotKind::File, secret.or_fail()?)
        }
        Way { new_credential: Some(file), .. } => {
            (SlotKind::Credential, service_secret::read_file(&file).or_fail()?)
        }
        Way { recovery: true, .. } => {
            let secret = SlotSecret::generate(entropy);
            code = Some(secret.dangerous_text());
            (SlotKind::Recovery, secret)
        }
        Way { recovery: false, .. } => return Err(Failure::text("say which way to add")),
    };
    let OpenedStore { store, opened } = &slots.instance;
    let id = keys::add_slot(store, opened, entropy, kind, &secret).or_fail()?;
    say(format_args!("slot `{id}` ({}) opens the service key from now on", kind.as_str()));
    if let Some(code) = code {
        say("its recovery code, shown this once (keep it on paper, apart from the data):");
        say("");
        for line in groups(&code) {
            say(format_args!("  {line}"));
        }
        say("");
        say("to use it: write it into a file of mode 600 and give that with `--service-key FILE`");
    }
    Ok(())
}

fn remove(slots: &Slots, id: &str) -> Outcome {
    let bytes = hex::decode(id).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let id = RowId::from_bytes(bytes.ok_or_else(|| {
        Failure::text(format!("`{id}` is no slot's id"))
            .advise("`lockyard admin slot list` shows them")
    })?);
    let present = keys::slots(&slots.instance.store).or_fail()?;
    if !present.iter().any(|slot| slot.id == id) {
        return Err(Failure::text(format!("there is no slot `{id}`"))
            .advise("`lockyard admin slot list` shows them"));
    }
    if keys::remove_slot(&slots.instance.store, id).or_fail()? {
        say(format_args!("slot `{id}` is removed; backups of the database still hold it"));
        Ok(())
    } else {
        Err(Failure::text(format!("slot `{id}` is the only way to open the service key"))
            .advise("add another one first, with `lockyard admin slot add`"))
    }
}

/// Two lines of eight groups of four digits.
fn groups(code: &str) -> Vec<String> {
    let digits: Vec<char> = code.chars().collect();
    let groups: Vec<String> = digits.chunks(4).map(|group| group.iter().collect()).collect();
    groups.chunks(8).map(|line| line.join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_code_is_shown_in_groups_that_read_back() {
        let lines = groups(&"0123456789abcdef".repeat(4));
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("0123 4567 89ab"), "{}", lines[0]);
        assert!(SlotSecret::from_text(&lines.join("\n")).is_ok());
    }
}
