//! `unwrapKey` of a vault over TLS on kept connections, next to bare RSA-2048 decryption.
//!
//! An unwrap is one RSA operation, one decision and one event that is durable before the answer;
//! everything that is not the RSA operation should be small beside it. The bare rate is that of as
//! many threads as there are cores, alone on the machine just before each measurement, while the
//! server shares it with the client: the CPU that each side spends for a thousand says which of
//! them a shortfall is.

use std::{thread, time::Duration};

use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey,
};
use serde_json::{Value, json};

use super::{
    askers::{self, Owner},
    dismiss, rounds,
};
use crate::{
    clock,
    contestant::{Contestant, Kind, MANAGEMENT_NAME, Stage, VAULT_NAME},
    failure::{During as _, Failure, Outcome},
    figures::{Figures, Meter, Row, Sample, Spread, Unit},
    http::{Connection, Endpoint},
};

const CONNECTIONS: [usize; 3] = [2, 8, 32];
const VERSION: &str = "api-version=2025-07-01";
const JSON: &str = "content-type: application/json\r\n";
const SHARE: [u8; 32] = [7; 32];

pub(super) fn run(stage: &Stage, figures: &mut Figures) -> Outcome {
    let contestants = stage.start_all(&[Kind::Lockyard])?;
    let Some(ours) = contestants.iter().find(|contestant| contestant.kind == Kind::Lockyard) else {
        figures.note("keys are unwrapped with a server of our own only");
        return dismiss(contestants);
    };
    let work = Work::prepare(ours)?;
    work.unwrap(&mut work.vault.connect()?)?;
    stage.settle()?;
    let duration = stage.options().sizes.storm;
    for connections in CONNECTIONS {
        let case = format!("unwrap, {connections} connections");
        let mut bare_rates = Vec::new();
        rounds(stage, &contestants, |contestant| {
            let bare = bare(ours, duration)?;
            bare_rates.push(bare.value);
            let ask = |connection: &mut Connection| work.unwrap(connection);
            let sample = askers::storm(contestant, &work.vault, (connections, duration), &ask)?;
            let cpu = |cpu: Option<f64>| cpu.unwrap_or_default();
            figures.note(format!(
                "{case}: {:.0} of {:.0} /s bare are {:.0} %; CPU {:.2} + {:.2} s a thousand, bare {:.2}",
                sample.value,
                bare.value,
                sample.value * 100.0 / bare.value,
                cpu(sample.server_cpu),
                cpu(sample.client_cpu),
                cpu(bare.client_cpu),
            ));
            figures.add(&case, contestant.kind, Unit::PerSecond, sample);
            Ok(())
        })?;
        let ours = figures.row(&case, Kind::Lockyard).and_then(Row::value);
        if let (Some(ours), Some(bare)) = (ours, Spread::of(bare_rates)) {
            let share = ours.median * 100.0 / bare.median;
            figures.note(format!("{case}: {share:.0} % of bare RSA-2048 decryption (target 70)"));
        }
    }
    dismiss(contestants)
}

/// A key of a vault, and something that it wrapped.
struct Work {
    vault: Endpoint,
    target: String,
    body: Vec<u8>,
}

impl Work {
    /// Makes a vault through Resource Manager, a key in it, and wraps a share.
    fn prepare(contestant: &Contestant) -> Outcome<Self> {
        let owner = Owner::of(contestant)?;
        let mut login = askers::login(contestant)?.connect()?;
        let management = owner.word("managementEndpoint");
        let token = askers::token(&mut login, &owner.form(management))?;
        let mut arm = askers::host(contestant, MANAGEMENT_NAME)?;
        arm.authorization = Some(format!("Bearer {token}"));
        let subscription = owner.word("subscriptionId");
        let group = format!("/subscriptions/{subscription}/resourceGroups/bench");
        let wanted = json!({ "location": "eastus" }).to_string();
        let target = format!("{group}?api-version=2024-11-01");
        askers::ask(&mut arm.connect()?, ("PUT", &target), JSON, wanted.as_bytes())?;
        let wanted = json!({ "location": "eastus", "properties": {
            "tenantId": owner.word("tenantId"), "sku": { "family": "A", "name": "standard" },
            "enableRbacAuthorization": true,
        }});
        let target =
            format!("{group}/providers/Microsoft.KeyVault/vaults/bench?api-version=2023-07-01");
        let wanted = wanted.to_string();
        askers::ask(&mut arm.connect()?, ("PUT", &target), JSON, wanted.as_bytes())?;

        let resource = management.replacen("management", "vault", 1);
        let token = askers::token(&mut login, &owner.form(&resource))?;
        let mut vault = askers::host(contestant, VAULT_NAME)?;
        vault.authorization = Some(format!("Bearer {token}"));
        let mut connection = vault.connect()?;
        let mut post = |path: &str, body: &Value| {
            let target = format!("{path}?{VERSION}");
            askers::ask(&mut connection, ("POST", &target), JSON, body.to_string().as_bytes())
        };
        post("/keys/k/create", &json!({ "kty": "RSA", "key_size": 2048 }))?;
        let share =
            base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, SHARE);
        let wrapped = post("/keys/k/wrapkey", &json!({ "alg": "RSA-OAEP-256", "value": share }))?;
        let word = |name: &str| wrapped.get(name).and_then(Value::as_str);
        let (Some(kid), Some(value)) = (word("kid"), word("value")) else {
            return Err(Failure::new("an answer without a wrapped key"));
        };
        let version = kid.rsplit('/').next().unwrap_or_default();
        let body = json!({ "alg": "RSA-OAEP-256", "value": value }).to_string().into_bytes();
        let target = format!("/keys/k/{version}/unwrapkey?{VERSION}");
        Ok(Self { vault, target, body })
    }

    fn unwrap(&self, connection: &mut Connection) -> Outcome {
        let head = connection.ask_with("POST", &self.target, JSON, &self.body)?;
        connection.expect(head, 200, "an unwrapped key").map(drop)
    }
}

/// Decrypts on every core and tells at what rate.
fn bare(contestant: &Contestant, duration: Duration) -> Outcome<Sample> {
    let what = "decrypting";
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).during(what)?;
    let public = OaepPublicEncryptingKey::new(key.public_key()).during(what)?;
    let key = OaepPrivateDecryptingKey::new(key).during(what)?;
    let mut wrapped = vec![0; public.ciphertext_size()];
    public.encrypt(&OAEP_SHA256_MGF1SHA256, &SHARE, &mut wrapped, None).during(what)?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (done, spent) = Meter::measure(contestant, || {
        let begun = clock::now();
        thread::scope(|scope| {
            let work = || -> Outcome<usize> {
                let (mut output, mut done) = (vec![0; key.min_output_size()], 0);
                while begun.elapsed() < duration {
                    key.decrypt(&OAEP_SHA256_MGF1SHA256, &wrapped, &mut output, None)
                        .during(what)?;
                    done += 1;
                }
                Ok(done)
            };
            let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
            let mut done = 0;
            for thread in threads {
                done += thread.join().map_err(|_| Failure::new("a thread panicked"))??;
            }
            Ok(done)
        })
    })?;
    Ok(spent.count(done))
}
