//! `lockyard admin reset-owner`: the owner and the first person with new credentials, for whoever
//! holds the service key and has lost theirs. Offline: a server keeps the directory in memory.

use std::sync::Arc;

use clap::Args;
use lockyard_access::{
    Directory, Records,
    directory::{DirectoryError, OwnerReset},
};
use lockyard_audit::{Audit as _, Event, Operation, Outcome};

use crate::{
    config::{DataConfig, DataFlags, Environment},
    data_dir::{DataDir, DataDirError},
    failure::{Failure, OrFail as _, Outcome as Done},
    instance::{self, OpenedStore, OpenedVault, bootstrap_file, open_store, open_vault},
    machine::Machine,
    say::{say, warn},
};

#[derive(Args, Debug)]
pub(super) struct ResetOwner {
    #[command(flatten)]
    data: DataFlags,
}

pub(super) fn reset(command: ResetOwner, env: &Environment) -> Done {
    let data = super::data(command.data, env)?;
    let dir = DataDir::existing(&data.data_dir).map_err(DataDirError::into_failure)?;
    let Machine { clock, entropy } = Machine::real();
    let machine = Machine { clock: Arc::clone(&clock), entropy: Arc::clone(&entropy) };
    let OpenedStore { store, opened } = open_store(&dir, &data, &machine, false)?;
    let records = Records::new(store.clone(), opened.keys, Arc::clone(&entropy));
    let directory = Directory::open(records, clock, entropy).map_err(|error| match error {
        DirectoryError::Unfounded => Failure::new(&error)
            .advise("start `lockyard serve` once, it finishes a first start that was cut off"),
        _ => Failure::new(&error),
    })?;
    let reset = directory.reset_owner().or_fail()?;
    show(&reset);
    // What is stored already must be told even if the rest fails.
    renew(&dir, &reset);
    record(&data, &machine, &reset);
    store.close();
    Ok(())
}

/// Tells the audit trail, which lies with the vault: that may be elsewhere now, or its key may be.
fn record(data: &DataConfig, machine: &Machine, reset: &OwnerReset) {
    let recorded = open_vault(data, machine, false).and_then(|OpenedVault { audit, .. }| {
        let mut event = Event::new(Operation::new("OwnerReset"), "", Outcome::ok());
        event.request.id = reset.client.to_string();
        "lockyard admin reset-owner".clone_into(&mut event.request.client);
        event.done = true;
        audit.append_blocking(event).or_fail()
    });
    if let Err(failure) = recorded {
        warn(format_args!("this is not in the audit trail: {failure}"));
    }
}

fn show(reset: &OwnerReset) {
    say("the owner and the first person have new credentials, shown this once:");
    say("");
    say(format_args!("  client id       {}", reset.client));
    say(format_args!("  client secret   {}", reset.secret.dangerous_expose()));
    say(format_args!("  user name       {}", reset.upn));
    say(format_args!("  password        {}", reset.password.dangerous_expose()));
    say("");
    say("both are enabled and have an owner's roles; their old credentials and sessions are over");
}

/// Keeps `bootstrap.json` from telling credentials that are over, if it lies there still.
fn renew(dir: &DataDir, reset: &OwnerReset) {
    let file = bootstrap_file(dir);
    match instance::renew_bootstrap(dir, reset) {
        Ok(true) => say(format_args!("`{}` holds them as well: delete it", file.display())),
        Ok(false) => {}
        Err(failure) => warn(format_args!(
            "`{}` holds credentials that are over, and could not be renewed: {failure}",
            file.display()
        )),
    }
}
