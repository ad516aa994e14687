//! Tokens by client credentials over TLS, next to the bare rate at which one thread signs.
//!
//! A token is one RSA-2048 signature; everything else (TLS, the form, the secret's hash, the claims)
//! should be small beside it. The server's CPU for a thousand tokens is what to compare with the
//! CPU of a thousand signatures: both sides share the machine with the client.

use std::{fs, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};

use super::{dismiss, rounds};
use crate::{
    clock,
    contestant::{Contestant, Kind, LOGIN_NAME, Stage},
    failure::{During as _, Failure, Outcome},
    figures::{Figures, Meter, Sample, Unit},
    http::{Connection, Endpoint},
};

const TARGET: &str = "/common/oauth2/v2.0/token";
const TYPE: &str = "content-type: application/x-www-form-urlencoded\r\n";
const CONNECTIONS: [usize; 2] = [2, 8];
/// About as many bytes as a token's header and claims.
const MESSAGE: [u8; 1024] = [b'a'; 1024];

pub(super) fn run(stage: &Stage, figures: &mut Figures) -> Outcome {
    let contestants = stage.start_all(&[Kind::Lockyard])?;
    let Some(ours) = contestants.iter().find(|contestant| contestant.kind == Kind::Lockyard) else {
        figures.note("tokens are measured with a server of our own only");
        return dismiss(contestants);
    };
    let (login, form) = (login(ours)?, form(ours)?);
    fetch(&mut login.connect()?, &form)?;
    stage.settle()?;
    let duration = stage.options().sizes.storm;
    figures.note(bare(ours, duration)?);
    for connections in CONNECTIONS {
        let case = format!("tokens, {connections} connections");
        rounds(stage, &contestants, |contestant| {
            let sample = measure(contestant, &login, &form, (connections, duration))?;
            figures.add(&case, contestant.kind, Unit::PerSecond, sample);
            Ok(())
        })?;
    }
    dismiss(contestants)
}

/// The issuer's host, which the HTTPS listener serves too.
fn login(contestant: &Contestant) -> Outcome<Endpoint> {
    let tls = contestant.tls.as_ref().ok_or_else(|| Failure::new("no HTTPS"))?;
    let host = format!("{LOGIN_NAME}:{}", tls.address.port());
    Ok(Endpoint { host, authorization: None, ..tls.clone() })
}

/// The owner's request.
fn form(contestant: &Contestant) -> Outcome<String> {
    let file = contestant.data.join("bootstrap.json");
    let what = || format!("reading `{}`", file.display());
    let text = fs::read(&file).during(what())?;
    let bootstrap: serde_json::Value = serde_json::from_slice(&text).during(what())?;
    let word =
        |name: &str| bootstrap.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    // Ids, base64url and our own URL: of what is in them, a form encodes only what stands here.
    let scope = format!("{}/.default", word("managementEndpoint"));
    let scope = scope.replace(':', "%3A").replace('/', "%2F");
    Ok(format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope={scope}",
        word("clientId"),
        word("clientSecret")
    ))
}

/// Asks for one token.
fn fetch(connection: &mut Connection, form: &str) -> Outcome {
    let head = connection.ask_with("POST", TARGET, TYPE, form.as_bytes())?;
    connection.expect(head, 200, "a token").map(drop)
}

fn measure(
    contestant: &Contestant,
    login: &Endpoint,
    form: &str,
    (connections, duration): (usize, Duration),
) -> Outcome<Sample> {
    let open = (0..connections).map(|_| login.connect());
    let open = open.collect::<Outcome<Vec<_>>>()?;
    let (latencies, spent) = Meter::measure(contestant, || {
        let begun = clock::now();
        std::thread::scope(|scope| {
            let askers: Vec<_> = open
                .into_iter()
                .map(|mut connection| {
                    scope.spawn(move || -> Outcome<Vec<Duration>> {
                        let mut latencies = Vec::new();
                        while begun.elapsed() < duration {
                            let asked = clock::now();
                            fetch(&mut connection, form)?;
                            latencies.push(asked.elapsed());
                        }
                        Ok(latencies)
                    })
                })
                .collect();
            let mut all = Vec::new();
            for asker in askers {
                all.extend(asker.join().map_err(|_| Failure::new("an asker panicked"))??);
            }
            all.sort_unstable();
            Ok(all)
        })
    })?;
    Ok(spent.count(latencies.len()).with_latencies(&latencies))
}

/// Signs on one thread and tells at what rate.
fn bare(contestant: &Contestant, duration: Duration) -> Outcome<String> {
    let what = "signing";
    let key = RsaKeyPair::generate(KeySize::Rsa2048).during(what)?;
    let (random, mut signature) = (SystemRandom::new(), vec![0; key.public_modulus_len()]);
    let (signed, spent) = Meter::measure(contestant, || {
        let (begun, mut signed) = (clock::now(), 0);
        while begun.elapsed() < duration {
            key.sign(&RSA_PKCS1_SHA256, &random, &MESSAGE, &mut signature).during(what)?;
            signed += 1;
        }
        Ok(signed)
    })?;
    let Sample { value, client_cpu, .. } = spent.count(signed);
    Ok(format!(
        "tokens: bare RSA-2048 signatures on one thread: {value:.0} /s, {:.2} CPU s per thousand",
        client_cpu.unwrap_or_default()
    ))
}
