//! Asking one thing again and again on kept connections, as the instance's owner.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::{
    clock,
    contestant::{Contestant, LOGIN_NAME},
    failure::{During as _, Failure, Outcome},
    figures::{Meter, Sample},
    http::{Connection, Endpoint},
};

const TOKEN_TARGET: &str = "/common/oauth2/v2.0/token";
const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

/// What the first start wrote down of the owner.
pub(super) struct Owner(Value);

impl Owner {
    pub(super) fn of(contestant: &Contestant) -> Outcome<Self> {
        let file = contestant.data.join("bootstrap.json");
        let what = || format!("reading `{}`", file.display());
        let text = fs::read(&file).during(what())?;
        Ok(Self(serde_json::from_slice(&text).during(what())?))
    }

    pub(super) fn word(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The form that asks for a token for a resource.
    pub(super) fn form(&self, resource: &str) -> String {
        // Ids, base64url and our own URL: of what is in them, a form encodes only what stands here.
        let scope = format!("{resource}/.default").replace(':', "%3A").replace('/', "%2F");
        format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={scope}",
            self.word("clientId"),
            self.word("clientSecret")
        )
    }
}

/// Another host that the HTTPS listener serves too.
pub(super) fn host(contestant: &Contestant, name: &str) -> Outcome<Endpoint> {
    let tls = contestant.tls.as_ref().ok_or_else(|| Failure::new("no HTTPS"))?;
    let host = format!("{name}:{}", tls.address.port());
    Ok(Endpoint { host, authorization: None, ..tls.clone() })
}

/// The issuer's host.
pub(super) fn login(contestant: &Contestant) -> Outcome<Endpoint> {
    host(contestant, LOGIN_NAME)
}

/// Asks for one token and forgets it.
pub(super) fn fetch(connection: &mut Connection, form: &str) -> Outcome {
    let head = connection.ask_with("POST", TOKEN_TARGET, FORM, form.as_bytes())?;
    connection.expect(head, 200, "a token").map(drop)
}

/// Asks for one token.
pub(super) fn token(connection: &mut Connection, form: &str) -> Outcome<String> {
    let answer = ask(connection, ("POST", TOKEN_TARGET), FORM, form.as_bytes())?;
    let token = answer.get("access_token").and_then(Value::as_str);
    token.map(str::to_owned).ok_or_else(|| Failure::new("an answer without a token"))
}

/// Asks for something and returns the JSON of a good answer.
pub(super) fn ask(
    connection: &mut Connection,
    (method, target): (&str, &str),
    headers: &str,
    body: &[u8],
) -> Outcome<Value> {
    let head = connection.ask_with(method, target, headers, body)?;
    let bytes = connection.keep(&head)?;
    if !(200..300).contains(&head.status) {
        let told = String::from_utf8_lossy(&bytes);
        return Err(Failure::new(format!("{method} {target}: {} {told}", head.status)));
    }
    serde_json::from_slice(&bytes).during(format!("{method} {target}"))
}

/// Asks on all connections at once for a while, and counts.
pub(super) fn storm(
    contestant: &Contestant,
    endpoint: &Endpoint,
    (connections, duration): (usize, Duration),
    ask: &(dyn Fn(&mut Connection) -> Outcome + Sync),
) -> Outcome<Sample> {
    let open = (0..connections).map(|_| endpoint.connect());
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
                            ask(&mut connection)?;
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
