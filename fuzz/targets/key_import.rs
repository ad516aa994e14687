//! Private keys from outside: whatever the components are, a key that is taken signs what its public
//! half verifies, and everything else is refused.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use lockyard_fuzz::Vaults;
use lockyard_vault::{Curve, KeySettings, PrivateJwk, RsaPrivateJwk, VaultError};

/// Which kind, and its components: an EC key's x, y, d or an RSA key's n, e, d, p, q, dp, dq, qi.
type Input = (u8, [Vec<u8>; 8]);

fuzz_target!(|input: Input| {
    static SCENE: OnceLock<Vaults> = OnceLock::new();
    let vaults = SCENE.get_or_init(Vaults::new);
    let (kind, [a, b, c, d, e, f, g, h]) = input;
    let curve = Curve::ALL.get(usize::from(kind)).copied();
    let jwk = match curve {
        Some(curve) => PrivateJwk::Ec { curve, x: a, y: b, d: c.into() },
        None => PrivateJwk::Rsa(Box::new(RsaPrivateJwk {
            n: a,
            e: b,
            d: c.into(),
            p: d.into(),
            q: e.into(),
            dp: f.into(),
            dq: g.into(),
            qi: h.into(),
        })),
    };
    let (plane, name) = (vaults.plane(), "taken".parse().expect("a name"));
    let made = match plane.import_key(&name, &jwk, &KeySettings::default()) {
        Ok(made) => made,
        Err(VaultError::Crypto(_) | VaultError::BadParameter(_)) => return,
        Err(error) => panic!("{error:?}"),
    };
    let algorithm = curve.map_or(lockyard_vault::SignatureAlgorithm::Ps256, Curve::algorithm);
    let digest = vec![7; algorithm.digest_len()];
    let version = Some(&made.id.version);
    let signed = plane.sign(&name, version, algorithm, &digest).expect("a key that was taken");
    let right = plane.verify(&name, version, algorithm, &digest, &signed.value);
    assert!(right.expect("its own signature").value, "its halves do not fit");
    // The number of versions is limited.
    plane.delete_key(&name).expect("deleted");
    plane.purge_key(&name).expect("purged");
});
