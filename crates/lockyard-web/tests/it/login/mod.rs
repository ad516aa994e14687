//! The token issuer's host as programs and browsers see it.

mod endpoints;
mod identities;
mod pages;

use std::{path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_access::{
    Directory, Issuer, Origins, Records,
    directory::{Cost, Founding},
    issuer::Setup,
};
use lockyard_base::{Clock, Entropy, SeededEntropy};
use lockyard_egress::{Egress, Policy, Roots};
use lockyard_keyring::{InstanceKeys, ServiceKey};
use lockyard_store::{Engine, Store};

use crate::support::{Client, Reply, World};

const HOST: &str = "login.yard.example:8443";
const ORIGIN: &str = "https://login.yard.example:8443";
const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const MANAGEMENT: &str = "https://management.yard.example:8443/.default";

/// An issuer with a directory, in a folder.
pub(crate) struct House {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) founding: Founding,
}

impl House {
    pub(crate) fn new(folder: &Path, clock: &Arc<dyn Clock>, entropy: &Arc<dyn Entropy>) -> Self {
        let seeds = SeededEntropy::new(3);
        let engine = Engine::Sqlite { path: folder.join("issuer.db") };
        let store = Store::open(engine, Arc::clone(clock)).unwrap();
        let service = ServiceKey::generate(&seeds);
        let keys = InstanceKeys::generate(&service, &seeds);
        let keys = Arc::new(InstanceKeys::open(&service, &keys).unwrap());
        let records = Records::new(store, keys, Arc::clone(entropy));
        let founding = Founding::generate(&seeds, "yard.example");
        let (when, drawn) = (Arc::clone(clock), Arc::clone(entropy));
        let cost = Cost::NEGLIGIBLE;
        let directory = Directory::found(records.clone(), when, drawn, &founding, cost).unwrap();
        let issuer = Issuer::open(Setup {
            records,
            directory: Arc::clone(&directory),
            egress: Arc::new(Egress::new(Policy::default(), Roots::only(Vec::new()))),
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
            origins: Origins {
                login: ORIGIN.to_owned(),
                management: "https://management.yard.example:8443".to_owned(),
                graph: "https://graph.yard.example:8443".to_owned(),
                vault: "https://vault.yard.example:8443".to_owned(),
                domain: "yard.example".to_owned(),
            },
        });
        Self { issuer: issuer.unwrap(), directory, founding }
    }
}

/// A world whose issuer the test knows.
struct Login {
    world: World,
    house: House,
    _folder: tempfile::TempDir,
}

impl Login {
    async fn new() -> Self {
        let (mut world, folder) = (World::new().await, tempfile::tempdir().unwrap());
        let house = House::new(folder.path(), &world.faces.clock, &world.faces.entropy);
        world.faces.issuer = Arc::clone(&house.issuer);
        Self { world, house, _folder: folder }
    }

    /// The issuer's host, without a login.
    fn client(&self) -> Client {
        Client { login: None, ..self.world.https(HOST) }
    }

    fn tenant(&self) -> String {
        self.house.founding.tenant.to_string()
    }

    /// Posts a form to the token endpoint.
    async fn token(&self, form: &[(&str, &str)]) -> Reply {
        post(&self.client(), "/common/oauth2/v2.0/token", &[], form).await
    }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn post(
    client: &Client,
    path: &str,
    headers: &[(&str, &str)],
    form: &[(&str, &str)],
) -> Reply {
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    encoded.extend_pairs(form);
    let headers = [&[FORM], headers].concat();
    client.send("POST", path, &headers, encoded.finish()).await
}

fn claims(token: &str) -> serde_json::Value {
    let piece = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&piece).unwrap()
}
