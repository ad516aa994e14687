//! Tokens by client credentials over TLS, next to the bare rate at which one thread signs.
//!
//! A token is one RSA-2048 signature; everything else (TLS, the form, the secret's hash, the claims)
//! should be small beside it. The server's CPU for a thousand tokens is what to compare with the
//! CPU of a thousand signatures: both sides share the machine with the client.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};

use super::{
    askers::{self, Owner},
    dismiss, rounds,
};
use crate::{
    clock,
    contestant::{Contestant, Kind, Stage},
    failure::{During as _, Outcome},
    figures::{Figures, Meter, Sample, Unit},
    http::Connection,
};

const CONNECTIONS: [usize; 2] = [2, 8];
/// About as many bytes as a token's header and claims.
const MESSAGE: [u8; 1024] = [b'a'; 1024];

pub(super) fn run(stage: &Stage, figures: &mut Figures) -> Outcome {
    let contestants = stage.start_all(&[Kind::Lockyard])?;
    let Some(ours) = contestants.iter().find(|contestant| contestant.kind == Kind::Lockyard) else {
        figures.note("tokens are measured with a server of our own only");
        return dismiss(contestants);
    };
    let owner = Owner::of(ours)?;
    let (login, form) = (askers::login(ours)?, owner.form(owner.word("managementEndpoint")));
    askers::fetch(&mut login.connect()?, &form)?;
    stage.settle()?;
    let duration = stage.options().sizes.storm;
    figures.note(bare(ours, duration)?);
    for connections in CONNECTIONS {
        let case = format!("tokens, {connections} connections");
        rounds(stage, &contestants, |contestant| {
            let ask = |connection: &mut Connection| askers::fetch(connection, &form);
            let sample = askers::storm(contestant, &login, (connections, duration), &ask)?;
            figures.add(&case, contestant.kind, Unit::PerSecond, sample);
            Ok(())
        })?;
    }
    dismiss(contestants)
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
