//! Commands that a running server performs if there is one, and the command itself otherwise.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, IdentityRequest, KeyRequest, RegistryRequest, Report, Request, UpkeepRequest},
    config::DataConfig,
    data_dir::{DataDir, DataDirError},
    failure::{OrFail as _, Outcome},
    instance::{self, Instance},
    machine::Machine,
    say::Progress,
};

/// Performs a request about keys. Without a server it needs the vault's key only.
pub(super) fn on_keys(data: &DataConfig, request: KeyRequest) -> Outcome<Vec<String>> {
    match taken(data)? {
        None => admin::ask(&data.data_dir, Request::Key(request)),
        Some(_lock) => {
            let vault = instance::open_vault(data, &Machine::real(), false)?;
            runtime()?.block_on(admin::perform_on_vault(&vault, request))
        }
    }
}

/// Performs a request about registries. Without a server it needs the service key and the vault.
pub(super) fn on_registries(data: &DataConfig, request: RegistryRequest) -> Outcome<Vec<String>> {
    match taken(data)? {
        None => admin::ask(&data.data_dir, Request::Registry(request)),
        Some(dir) => {
            let instance = Instance::open(dir, data, Machine::real())?;
            let outcome = runtime()?.block_on(async {
                instance.settle().await?;
                instance.registries.admit_all().await.or_fail()?;
                admin::perform_on_registries(&instance, request).await
            });
            instance.close();
            outcome
        }
    }
}

/// Performs a request about managed identities. Without a server it needs the service key.
pub(super) fn on_identities(data: &DataConfig, request: IdentityRequest) -> Outcome<Vec<String>> {
    match taken(data)? {
        None => admin::ask(&data.data_dir, Request::Identity(request)),
        Some(dir) => {
            let instance = Instance::open(dir, data, Machine::real())?;
            let outcome = admin::perform_on_identities(&instance, request);
            instance.close();
            outcome
        }
    }
}

/// Performs upkeep and shows how far it is. Without a server it needs the service key and the vault,
/// and an interrupt stops it in good order.
pub(super) fn upkeep(data: &DataConfig, request: UpkeepRequest) -> Outcome<Report> {
    let mut progress = Progress::default();
    let outcome = match taken(data)? {
        None => admin::ask_for_upkeep(&data.data_dir, request, |text| progress.show(text)),
        Some(dir) => {
            let instance = Instance::open(dir, data, Machine::real())?;
            let cancel = CancellationToken::new();
            let outcome = runtime()?.block_on(async {
                instance.settle().await?;
                instance.registries.admit_all().await.or_fail()?;
                let (tell, told) = watch::channel(String::new());
                let work = admin::perform_upkeep(&instance, request, &cancel, &tell);
                let mut work = std::pin::pin!(work);
                loop {
                    tokio::select! {
                        biased;
                        outcome = &mut work => return outcome,
                        _ = tokio::signal::ctrl_c() => cancel.cancel(),
                        () = tokio::time::sleep(admin::SHOW_EVERY) => {}
                    }
                    progress.show(&told.borrow());
                }
            });
            instance.close();
            outcome
        }
    };
    progress.end();
    outcome
}

/// Takes the data directory; `None` if a server has it.
fn taken(data: &DataConfig) -> Outcome<Option<DataDir>> {
    match DataDir::existing(&data.data_dir) {
        Ok(dir) => Ok(Some(dir)),
        Err(DataDirError::InUse { .. }) => Ok(None),
        Err(error) => Err(error.into_failure()),
    }
}

fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().or_fail()
}
