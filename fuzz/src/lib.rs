//! An instance's directory and issuer, made once for all inputs of a target.
//!
//! Nothing here reaches another machine: the egress policy allows nothing and trusts nobody.

mod vault;

pub use vault::Vaults;

use std::{path::PathBuf, sync::Arc};

use lockyard_access::{
    Directory, Issuer, Origins, Records,
    directory::{Cost, Founding},
    issuer::{Parameters, Setup, TokenReply, TokenRequest, Version},
};
use lockyard_base::{Clock, Entropy, HandClock, SeededEntropy};
use lockyard_egress::{Egress, Policy, Roots};
use lockyard_keyring::{InstanceKeys, ServiceKey};
use lockyard_store::{Engine, Store};
use tokio::runtime::Runtime;

/// Where an access token is for.
pub const RESOURCE: &str = "https://management.fuzz.test";

/// A directory with its owner, and an issuer of tokens.
pub struct House {
    /// The issuer.
    pub issuer: Arc<Issuer>,
    /// What the owner proves itself with.
    pub founding: Founding,
    runtime: Runtime,
}

impl House {
    /// Makes one beside the program, in place of what an earlier run left.
    pub fn new() -> Self {
        let file = std::env::current_exe().expect("a program has a file").with_extension("db");
        remove(&file);
        let clock: Arc<dyn Clock> = Arc::new(HandClock::default());
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(11));
        let service = ServiceKey::generate(&*entropy);
        let keys = InstanceKeys::generate(&service, &*entropy);
        let keys = Arc::new(InstanceKeys::open(&service, &keys).expect("just sealed"));
        let engine = Engine::Sqlite { path: file.clone() };
        let store = Store::open(engine, Arc::clone(&clock)).expect("a new database");
        let records = Records::new(store, keys, Arc::clone(&entropy));
        let founding = Founding::generate(&*entropy, "fuzz.test");
        let (its_records, its_clock) = (records.clone(), Arc::clone(&clock));
        let directory = Directory::found(
            its_records,
            its_clock,
            Arc::clone(&entropy),
            &founding,
            Cost::default(),
        );
        let issuer = Issuer::open(Setup {
            records,
            directory: directory.expect("a new directory"),
            egress: Arc::new(Egress::new(Policy::default(), Roots::only(Vec::new()))),
            clock,
            entropy,
            origins: Origins {
                login: "https://login.fuzz.test".to_owned(),
                management: RESOURCE.to_owned(),
                graph: "https://graph.fuzz.test".to_owned(),
                vault: "https://vault.fuzz.test".to_owned(),
                domain: "fuzz.test".to_owned(),
            },
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self {
            issuer: issuer.expect("a new issuer"),
            founding,
            runtime: runtime.expect("a runtime"),
        }
    }

    /// Asks for a token with these parameters; `None` is a refusal.
    pub fn token(&self, parameters: Parameters) -> Option<TokenReply> {
        let request = TokenRequest {
            tenant: self.issuer.tenant("organizations").expect("always there"),
            version: Version::V2,
            parameters,
            basic: None,
        };
        self.runtime.block_on(self.issuer.token(request)).ok()
    }

    /// A good access token of the owner's.
    pub fn good(&self) -> String {
        let Founding { client, secret, .. } = &self.founding;
        let form = format!(
            "grant_type=client_credentials&client_id={client}&client_secret={}\
             &scope={RESOURCE}/.default",
            secret.dangerous_expose()
        );
        let parameters = Parameters::parse(form.as_bytes()).expect("a form");
        self.token(parameters).expect("the owner is known").access_token.to_string()
    }
}

impl Default for House {
    fn default() -> Self {
        Self::new()
    }
}

fn remove(file: &PathBuf) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.clone().into_os_string();
        name.push(suffix);
        drop(std::fs::remove_file(name));
    }
}
