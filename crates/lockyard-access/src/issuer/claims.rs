//! What our tokens say.
//!
//! Access tokens have the claims that Azure's have, so that whoever looks inside finds what is
//! expected, and three of our own, by which a token dies before its time: the credential that it
//! came from, the moment of the proof, and the session.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_base::{Entropy, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Audience, Origins, Version, session::Standing};
use crate::directory::{Method, Principal, PrincipalKind, TenantId};

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AccessClaims {
    pub(crate) aud: String,
    pub(crate) iss: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) tid: String,
    pub(crate) oid: String,
    pub(crate) sub: String,
    pub(crate) ver: String,
    pub(crate) uti: String,
    /// Whether a person or a program acts: `user` or `app`.
    pub(crate) idtyp: String,
    /// The client, in the word of version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) appid: Option<String>,
    /// How the client proved itself: 0 not at all, 1 by a secret, 2 by a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) appidacr: Option<String>,
    /// The client, in the word of version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) azp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) azpacr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unique_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preferred_username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) xms_mirid: Option<String>,
    /// The session, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<String>,
    /// The credential that this came from.
    pub(crate) lockyard_credential: String,
    /// When the credential was proved, in microseconds since the epoch.
    pub(crate) lockyard_proved: i64,
}

/// What a token is made from.
pub(crate) struct Subject<'s> {
    pub(crate) principal: &'s Principal,
    pub(crate) standing: &'s Standing,
    pub(crate) tenant: TenantId,
    pub(crate) version: Version,
    pub(crate) origins: &'s Origins,
    pub(crate) now: Timestamp,
    pub(crate) until: Timestamp,
}

impl AccessClaims {
    /// The claims of an access token for `audience`.
    pub(crate) fn new(subject: &Subject<'_>, audience: Audience, entropy: &dyn Entropy) -> Self {
        let Subject { principal, standing, tenant, version, origins, now, until } = subject;
        let client = Some(standing.client.to_string());
        let proved_by = Some(standing.proof_of_client().to_owned());
        let (appid, appidacr, azp, azpacr) = match version {
            Version::V1 => (client, proved_by, None, None),
            Version::V2 => (None, None, client, proved_by),
        };
        let person = principal.kind == PrincipalKind::User;
        let person_only = |value: Option<&String>| value.filter(|_| person).cloned();
        let (v1, v2) = (*version == Version::V1, *version == Version::V2);
        let oid = principal.id.to_string();
        Self {
            aud: audience.claim(origins).to_owned(),
            iss: version.issuer(*tenant, origins),
            iat: now.as_secs(),
            nbf: now.as_secs(),
            exp: until.as_secs(),
            tid: tenant.to_string(),
            sub: oid.clone(),
            oid,
            ver: version.claim().to_owned(),
            uti: URL_SAFE_NO_PAD.encode(entropy.bytes::<16>()),
            idtyp: if person { "user" } else { "app" }.to_owned(),
            appid,
            appidacr,
            azp,
            azpacr,
            scp: person.then(|| scope_of_person(audience).to_owned()),
            name: person_only(Some(&principal.display_name)),
            upn: person_only(principal.upn.as_ref()).filter(|_| v1),
            unique_name: person_only(principal.upn.as_ref()).filter(|_| v1),
            preferred_username: person_only(principal.upn.as_ref()).filter(|_| v2),
            xms_mirid: match &principal.kind {
                PrincipalKind::ManagedIdentity(resource) => Some(resource.to_string()),
                PrincipalKind::User | PrincipalKind::ServicePrincipal | PrincipalKind::Group => {
                    None
                }
            },
            sid: standing.session.map(|session| session.to_string()),
            lockyard_credential: standing.credential.to_string(),
            lockyard_proved: standing.proved.as_micros(),
        }
    }

    /// The client, whichever word it is in.
    pub(crate) fn client(&self) -> Option<&str> {
        self.appid.as_deref().or(self.azp.as_deref())
    }
}

/// What a person's program may do for them: everything that they may.
const fn scope_of_person(audience: Audience) -> &'static str {
    match audience {
        Audience::Graph => "Directory.AccessAsUser.All User.Read",
        Audience::Management | Audience::Vault | Audience::Registry => "user_impersonation",
    }
}

/// The claims of a token that says who signed in (OpenID Connect Core section 2).
pub(crate) fn id_claims(subject: &Subject<'_>, nonce: Option<&str>) -> serde_json::Value {
    let Subject { principal, standing, tenant, version, origins, now, until } = subject;
    let oid = principal.id.to_string();
    let mut claims = json!({
        "aud": standing.client.to_string(),
        "iss": version.issuer(*tenant, origins),
        "iat": now.as_secs(),
        "nbf": now.as_secs(),
        "exp": until.as_secs(),
        "auth_time": standing.proved.as_secs(),
        "tid": tenant.to_string(),
        "oid": oid,
        "sub": oid,
        "ver": version.claim(),
        "name": principal.display_name,
    });
    if let Some(claims) = claims.as_object_mut() {
        let upn = principal.upn.clone().unwrap_or_default();
        match version {
            Version::V1 => {
                claims.insert("upn".to_owned(), upn.clone().into());
                claims.insert("unique_name".to_owned(), upn.into());
            }
            Version::V2 => {
                claims.insert("preferred_username".to_owned(), upn.into());
            }
        }
        if let Some(nonce) = nonce {
            claims.insert("nonce".to_owned(), nonce.into());
        }
        if let Some(session) = standing.session {
            claims.insert("sid".to_owned(), session.to_string().into());
        }
    }
    claims
}

/// What libraries name an account by.
pub(crate) fn client_info(principal: &Principal, tenant: TenantId) -> String {
    let info = json!({ "uid": principal.id.to_string(), "utid": tenant.to_string() });
    URL_SAFE_NO_PAD.encode(info.to_string())
}

impl Standing {
    /// How the client proved itself, in the number of `appidacr`.
    fn proof_of_client(&self) -> &'static str {
        match self.client_proof {
            None => "0",
            Some(Method::Secret | Method::Password) => "1",
            Some(Method::Certificate | Method::Federated | Method::ManagedIdentity) => "2",
        }
    }
}
