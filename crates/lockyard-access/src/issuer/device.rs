//! Signing in on a device without a browser: a person enters the device's code on another one
//! (RFC 8628).
//!
//! The device has a long secret code and shows a short one. Short codes have only letters that
//! nobody mistakes and that spell no words. Guessing one gains little, since whoever enters a code
//! gives their own account away; so wrong ones are merely slowed down for everybody.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_base::{BootInstant, Clock, Entropy, Guid, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Audience, ErrorWord, Issuer, OAuthError, TokenReply, TokenRequest, Wanted, client,
    session::{Standing, sha256},
    token::SignedIn,
};
use crate::{
    PrincipalId, RecordError, RecordTxn,
    directory::{ClientId, CredentialId, Proof},
};

/// How long a code is good.
pub const DEVICE_CODE_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long a device waits between questions.
pub const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The most devices that wait at once; strangers make them, so there is an end.
pub const DEVICE_CODES_MAX: u64 = 1000;
/// The letters of a short code: no vowels, so no words, and none that looks like another or like a
/// digit (RFC 8628 section 6.1).
pub const USER_CODE_LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many wrong short codes are taken in a minute.
pub const WRONG_USER_CODES_MAX: u32 = 60;

/// How many letters a short code has: more than 34 bits.
const USER_CODE_CHARS: usize = 8;
/// How much too early a question may come, for clocks that are read at other moments.
const POLL_SLACK: Duration = Duration::from_millis(500);
/// The longest interval that a hasty device is slowed down to.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// The kind of a device's record; the name is a hash of its long code.
const KIND: &str = "issuer-device";
/// The kind of the record that leads from a short code to it.
const USER: &str = "issuer-device-user";

/// What a device is told.
#[derive(Debug)]
pub struct DeviceReply {
    /// The long code, for the device alone.
    pub device_code: Zeroizing<String>,
    /// The short code, for the person.
    pub user_code: String,
    /// Where the person enters it.
    pub verification_uri: String,
    /// How long both are good.
    pub life: Duration,
    /// How long to wait between questions.
    pub interval: Duration,
    /// What to tell the person.
    pub message: String,
}

/// What a person is asked about.
#[derive(Debug)]
pub struct DeviceAsk {
    /// The program on the device.
    pub client: ClientId,
    /// What people know it by.
    pub client_name: String,
    /// The code as it was shown.
    pub user_code: String,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    client: String,
    audience: String,
    openid: bool,
    offline: bool,
    user_code: String,
    /// When the device last asked, in microseconds; 0 before the first time.
    asked: i64,
    /// In microseconds.
    interval: u64,
    decision: Decision,
}

#[derive(Serialize, Deserialize)]
enum Decision {
    Open,
    Declined,
    Granted { principal: String, credential: String, proved: i64 },
}

/// What a device's question finds.
enum Poll {
    Unknown,
    Pending,
    TooOften,
    Declined,
    Granted(Standing, Wanted),
}

impl Issuer {
    /// A device wants codes (RFC 8628 section 3.1).
    pub async fn device(&self, request: &TokenRequest) -> Result<DeviceReply, OAuthError> {
        let TokenRequest { version, parameters, basic, .. } = request;
        let wanted = self.wanted(parameters, *version)?;
        let client = self.client(parameters, basic.as_ref(), "devicecode").await?;
        let bits = Zeroizing::new(self.entropy.bytes::<32>());
        let device_code = Zeroizing::new(URL_SAFE_NO_PAD.encode(bits.as_slice()));
        let user_code = user_code(&*self.entropy);
        let stored = Stored {
            client: client.id.to_string(),
            audience: wanted.audience.word().to_owned(),
            openid: wanted.openid,
            offline: wanted.offline,
            user_code: user_code.clone(),
            asked: 0,
            interval: micros(POLL_INTERVAL),
            decision: Decision::Open,
        };
        let (name, short) = (sha256(device_code.as_bytes()), user_code.clone());
        let (value, until) = (to_bytes(&stored), self.clock.wall() + DEVICE_CODE_LIFE);
        let made = self
            .records
            .write(move |txn| {
                if txn.count(KIND)? >= DEVICE_CODES_MAX {
                    return Ok(false);
                }
                txn.put_until(KIND, &name, &value, until)?;
                txn.insert(USER, short.as_bytes(), &name, Some(until))
            })
            .await
            .map_err(|error: RecordError| OAuthError::from(error))?;
        if !made {
            return Err(OAuthError::Busy(POLL_INTERVAL_MAX));
        }
        let verification_uri = format!("{}/device", self.origins.login);
        let shown = shown(&user_code);
        let message =
            format!("To sign in, open {verification_uri} in a browser and enter the code {shown}.");
        Ok(DeviceReply {
            device_code,
            user_code: shown,
            verification_uri,
            life: DEVICE_CODE_LIFE,
            interval: POLL_INTERVAL,
            message,
        })
    }

    /// Finds out what a short code stands for.
    pub async fn device_ask(&self, typed: &str) -> Result<DeviceAsk, OAuthError> {
        let typed = self.typed(typed)?;
        let found = self.records.read(move |txn| {
            Ok(find(txn, &typed)?.filter(|(_, stored)| matches!(stored.decision, Decision::Open)))
        });
        let found = found.await.map_err(|error: RecordError| OAuthError::from(error))?;
        let Some((_, stored)) = found else {
            self.wrong_user_codes.count(&*self.clock);
            return Err(wrong_user_code());
        };
        let client: ClientId = stored.client.parse().map_err(|_| wrong_user_code())?;
        let snapshot = self.directory.snapshot();
        let name = client::known(client).map(str::to_owned).or_else(|| {
            snapshot.application(client).map(|application| application.display_name.clone())
        });
        Ok(DeviceAsk {
            client,
            client_name: name.ok_or_else(wrong_user_code)?,
            user_code: shown(&stored.user_code),
        })
    }

    /// A person decides about a device: with a proof they let it in, without one they do not.
    pub async fn device_decide(&self, typed: &str, proof: Option<Proof>) -> Result<(), OAuthError> {
        let typed = self.typed(typed)?;
        let decided = self.records.write(move |txn| {
            let Some((name, mut stored)) = find(txn, &typed)? else { return Ok(false) };
            if !matches!(stored.decision, Decision::Open) {
                return Ok(false);
            }
            stored.decision = match &proof {
                None => Decision::Declined,
                Some(proof) => Decision::Granted {
                    principal: proof.principal.to_string(),
                    credential: proof.credential.to_string(),
                    proved: proof.at.as_micros(),
                },
            };
            // Nobody else decides about it.
            txn.remove(USER, typed.as_bytes())?;
            replace(txn, &name, &stored)
        });
        let decided = decided.await.map_err(|error: RecordError| OAuthError::from(error))?;
        if decided { Ok(()) } else { Err(wrong_user_code()) }
    }

    /// A device asks whether somebody let it in (RFC 8628 section 3.4).
    pub(crate) async fn device_code(
        &self,
        request: &TokenRequest,
    ) -> Result<TokenReply, OAuthError> {
        let TokenRequest { version, parameters, basic, .. } = request;
        let code = match parameters.get("device_code") {
            Some(code) => code,
            None => parameters.require("code")?,
        };
        let client = self.client(parameters, basic.as_ref(), "device_code").await?;
        let (name, id, now) = (sha256(code.as_bytes()), client.id, self.clock.wall());
        let found = self.records.write(move |txn| poll(txn, &name, id, now)).await;
        let refused = |word, number, text: &str| Err(OAuthError::refused(word, number, text));
        match found.map_err(|error: RecordError| OAuthError::from(error))? {
            Poll::Granted(standing, wanted) => {
                let standing = Standing { client_proof: client.method(), ..standing };
                let person = SignedIn { standing, handle: None, wanted, nonce: None };
                self.issue_for_person(person, *version).await
            }
            Poll::Pending => refused(
                ErrorWord::AuthorizationPending,
                70_016,
                "nobody has entered the code yet, ask again after the interval",
            ),
            Poll::TooOften => refused(
                ErrorWord::SlowDown,
                70_016,
                "the device asks too often, the interval is five seconds longer now",
            ),
            Poll::Declined => refused(
                ErrorWord::AuthorizationDeclined,
                70_017,
                "the person did not let the device in",
            ),
            Poll::Unknown => refused(
                ErrorWord::ExpiredToken,
                70_020,
                "the device's code is over or was never given",
            ),
        }
    }

    /// Reads what a person typed, unless too many wrong ones came.
    fn typed(&self, typed: &str) -> Result<String, OAuthError> {
        self.wrong_user_codes.check(&*self.clock)?;
        let letters: String = typed
            .chars()
            .filter(|c| !matches!(c, ' ' | '-'))
            .map(|c| c.to_ascii_uppercase())
            .take(USER_CODE_CHARS + 1)
            .collect();
        let sound = letters.len() == USER_CODE_CHARS
            && letters.bytes().all(|b| USER_CODE_LETTERS.contains(&b));
        if sound { Ok(letters) } else { Err(wrong_user_code()) }
    }
}

/// The one transaction of a device's question.
fn poll(
    txn: &mut RecordTxn<'_, '_>,
    name: &[u8],
    client: ClientId,
    now: Timestamp,
) -> Result<Poll, RecordError> {
    let Some(record) = txn.get(KIND, name)? else { return Ok(Poll::Unknown) };
    let mut stored = read(&record.value)?;
    if stored.client.parse() != Ok(client) {
        return Ok(Poll::Unknown);
    }
    match &stored.decision {
        Decision::Open => {}
        Decision::Declined => {
            txn.remove(KIND, name)?;
            return Ok(Poll::Declined);
        }
        Decision::Granted { principal, credential, proved } => {
            let guid = |text: &str| text.parse::<Guid>().map_err(|_| RecordError::Damaged);
            let standing = Standing {
                principal: PrincipalId::new(guid(principal)?),
                credential: CredentialId::new(guid(credential)?),
                proved: Timestamp::from_micros(*proved),
                client,
                client_proof: None,
                session: None,
            };
            let audience = Audience::from_word(&stored.audience).ok_or(RecordError::Damaged)?;
            txn.remove(KIND, name)?;
            let wanted = Wanted { audience, openid: stored.openid, offline: stored.offline };
            return Ok(Poll::Granted(standing, wanted));
        }
    }
    let interval = Duration::from_micros(stored.interval);
    let asked = Timestamp::from_micros(stored.asked);
    let early = stored.asked != 0 && now + POLL_SLACK < asked + interval;
    stored.asked = now.as_micros();
    if early {
        stored.interval = micros((interval + Duration::from_secs(5)).min(POLL_INTERVAL_MAX));
    }
    if !txn.replace_if(KIND, name, record.seal, &to_bytes(&stored))? {
        return Err(RecordError::Overtaken);
    }
    Ok(if early { Poll::TooOften } else { Poll::Pending })
}

/// The device of a short code, with its name.
fn find(
    txn: &mut RecordTxn<'_, '_>,
    typed: &str,
) -> Result<Option<(Vec<u8>, Stored)>, RecordError> {
    let Some(user) = txn.get(USER, typed.as_bytes())? else { return Ok(None) };
    let Some(device) = txn.get(KIND, &user.value)? else { return Ok(None) };
    Ok(Some((user.value.to_vec(), read(&device.value)?)))
}

fn replace(txn: &mut RecordTxn<'_, '_>, name: &[u8], stored: &Stored) -> Result<bool, RecordError> {
    match txn.get(KIND, name)? {
        Some(record) => txn.replace_if(KIND, name, record.seal, &to_bytes(stored)),
        None => Ok(false),
    }
}

fn read(value: &[u8]) -> Result<Stored, RecordError> {
    serde_json::from_slice(value).map_err(|_| RecordError::Damaged)
}

fn to_bytes(stored: &Stored) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(serde_json::to_vec(stored).unwrap_or_default())
}

/// Draws a short code; every letter is as likely as any other.
fn user_code(entropy: &dyn Entropy) -> String {
    let letters = u8::try_from(USER_CODE_LETTERS.len()).unwrap_or(u8::MAX);
    // Bytes from here on would make the first letters likelier.
    let fair = u8::MAX - (u8::MAX % letters);
    let mut code = String::with_capacity(USER_CODE_CHARS);
    while code.len() < USER_CODE_CHARS {
        let [byte] = entropy.bytes::<1>();
        if byte < fair {
            code.push(char::from(USER_CODE_LETTERS[usize::from(byte % letters)]));
        }
    }
    code
}

/// A short code as people see it.
fn shown(code: &str) -> String {
    let (first, second) = code.split_at_checked(USER_CODE_CHARS / 2).unwrap_or((code, ""));
    format!("{first}-{second}")
}

fn wrong_user_code() -> OAuthError {
    OAuthError::grant(70_018, "the code is wrong or over; look at the device again")
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Counts wrong short codes, a minute at a time.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Option<(BootInstant, u32)>>);

impl Throttle {
    const WINDOW: Duration = Duration::from_secs(60);

    fn check(&self, clock: &dyn Clock) -> Result<(), OAuthError> {
        let window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *window {
            Some((began, count)) if count >= WRONG_USER_CODES_MAX => {
                let passed = clock.boot().since(began);
                if passed < Self::WINDOW {
                    return Err(OAuthError::Busy(Self::WINDOW.saturating_sub(passed)));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn count(&self, clock: &dyn Clock) {
        let now = clock.boot();
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *window = match *window {
            Some((began, count)) if now.since(began) < Self::WINDOW => Some((began, count + 1)),
            _ => Some((now, 1)),
        };
    }
}
