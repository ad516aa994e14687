//! Every algorithm against RustCrypto, an implementation of other authors, in both directions.

use lockyard_base::{Entropy, SeededEntropy};
use rsa::{
    BoxedUint, Oaep, Pkcs1v15Encrypt, Pkcs1v15Sign, Pss,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _},
    rand_core::{TryCryptoRng, TryRng},
    traits::{PrivateKeyParts as _, PublicKeyParts as _},
};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::*;

/// Seeded randomness in the other library's clothes.
struct Seeded(SeededEntropy);

impl TryRng for Seeded {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_le_bytes((&self.0 as &dyn Entropy).bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from_le_bytes((&self.0 as &dyn Entropy).bytes()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

fn seeded() -> Seeded {
    Seeded(SeededEntropy::new(11))
}

fn theirs(ours: &NewPrivate) -> rsa::PrivateKey {
    rsa::PrivateKey::from_pkcs8_der(&ours.pkcs8).expect("they read our stored form")
}

fn ready(ours: &NewPrivate, purpose: Purpose) -> ReadyKey {
    ReadyKey::from_pkcs8(ours.shape, purpose, &ours.pkcs8).expect("reads")
}

fn hashed(algorithm: SignatureAlgorithm, message: &[u8]) -> Vec<u8> {
    match algorithm.digest_len() {
        32 => Sha256::digest(message).to_vec(),
        48 => Sha384::digest(message).to_vec(),
        _ => Sha512::digest(message).to_vec(),
    }
}

#[test]
fn rsa_encryption_agrees_with_another_implementation_both_ways() {
    use EncryptionAlgorithm::{Rsa15, RsaOaep, RsaOaep256};
    let mut rng = seeded();
    for size in [RsaSize::R2048, RsaSize::R3072] {
        let ours = NewPrivate::generate(KeyShape::Rsa(size)).unwrap();
        let theirs = theirs(&ours);
        let public = rsa::PublicKey::from(&theirs);
        for algorithm in EncryptionAlgorithm::ALL.iter().copied() {
            let ready = ready(&ours, Purpose::decrypting(algorithm));
            for text in [&b""[..], b"k", &[7; 32], &[0; 100]] {
                let there = match algorithm {
                    RsaOaep256 => public.encrypt(&mut rng, Oaep::<Sha256>::new(), text),
                    RsaOaep => public.encrypt(&mut rng, Oaep::<sha1::Sha1>::new(), text),
                    Rsa15 => public.encrypt(&mut rng, Pkcs1v15Encrypt, text),
                };
                let opened = ready.decrypt(algorithm, &there.unwrap()).unwrap();
                assert_eq!(opened.as_slice(), text, "{algorithm} of {size:?}");
                let here = ours.public.encrypt(algorithm, text).unwrap();
                assert_eq!(here.len() * 8, size.bits());
                let opened = match algorithm {
                    RsaOaep256 => theirs.decrypt(Oaep::<Sha256>::new(), &here),
                    RsaOaep => theirs.decrypt(Oaep::<sha1::Sha1>::new(), &here),
                    Rsa15 => theirs.decrypt(Pkcs1v15Encrypt, &here),
                };
                assert_eq!(opened.unwrap(), text, "{algorithm} of {size:?}");
            }
        }
    }
}

#[test]
fn rsa_signatures_agree_with_another_implementation_both_ways() {
    use SignatureAlgorithm::{
        Es256, Es256K, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512,
    };
    let ours = NewPrivate::generate(KeyShape::Rsa(RsaSize::R2048)).unwrap();
    let theirs = theirs(&ours);
    let public = rsa::PublicKey::from(&theirs);
    let ready = ready(&ours, Purpose::Sign);
    let mut rng = seeded();
    for algorithm in SignatureAlgorithm::ALL.iter().copied() {
        let digest = hashed(algorithm, b"a manifest");
        let there = match algorithm {
            Rs256 => theirs.sign(Pkcs1v15Sign::new::<Sha256>(), &digest),
            Rs384 => theirs.sign(Pkcs1v15Sign::new::<Sha384>(), &digest),
            Rs512 => theirs.sign(Pkcs1v15Sign::new::<Sha512>(), &digest),
            Ps256 => theirs.sign_with_rng(&mut rng, Pss::<Sha256>::new(), &digest),
            Ps384 => theirs.sign_with_rng(&mut rng, Pss::<Sha384>::new(), &digest),
            Ps512 => theirs.sign_with_rng(&mut rng, Pss::<Sha512>::new(), &digest),
            Es256 | Es384 | Es512 | Es256K => {
                let answer = ready.sign(algorithm, &digest);
                assert_eq!(answer, Err(CryptoError::WrongAlgorithm), "{algorithm}");
                continue;
            }
        };
        let there = there.unwrap();
        assert_eq!(ours.public.verify(algorithm, &digest, &there), Ok(true), "{algorithm}");
        let here = ready.sign(algorithm, &digest).unwrap();
        let verified = match algorithm {
            Rs256 => public.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, &here),
            Rs384 => public.verify(Pkcs1v15Sign::new::<Sha384>(), &digest, &here),
            Rs512 => public.verify(Pkcs1v15Sign::new::<Sha512>(), &digest, &here),
            Ps256 => public.verify(Pss::<Sha256>::new(), &digest, &here),
            Ps384 => public.verify(Pss::<Sha384>::new(), &digest, &here),
            _ => public.verify(Pss::<Sha512>::new(), &digest, &here),
        };
        verified.unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        let other = hashed(algorithm, b"another manifest");
        assert_eq!(ours.public.verify(algorithm, &other, &here), Ok(false), "{algorithm}");
    }
}

macro_rules! curve_agrees {
    ($test:ident, $library:ident, $curve:expr) => {
        #[test]
        fn $test() {
            use $library::ecdsa::{
                Signature, SigningKey, VerifyingKey,
                signature::hazmat::{PrehashSigner as _, PrehashVerifier as _},
            };
            use $library::pkcs8::DecodePrivateKey as _;
            let algorithm = $curve.algorithm();
            let digest = hashed(algorithm, b"a manifest");
            let ours = NewPrivate::generate(KeyShape::Ec($curve)).unwrap();
            let secret = $library::SecretKey::from_pkcs8_der(&ours.pkcs8).expect("they read it");
            let theirs = SigningKey::from(&secret);
            let there: Signature = theirs.sign_prehash(&digest).unwrap();
            let there = there.to_bytes();
            assert_eq!(ours.public.verify(algorithm, &digest, &there), Ok(true));
            let ready = ready(&ours, Purpose::Sign);
            let here = ready.sign(algorithm, &digest).unwrap();
            assert_eq!(here.len(), 2 * $curve.coordinate_len());
            // One of the libraries believes only the smaller of the two values that s can have.
            let signature = Signature::from_slice(&here).expect("the fixed form").normalize_s();
            VerifyingKey::from(&theirs).verify_prehash(&digest, &signature).expect("verifies");
            let other = hashed(algorithm, b"another manifest");
            assert_eq!(ours.public.verify(algorithm, &other, &here), Ok(false));
            // Every other algorithm is refused, by the private and the public half.
            for wrong in SignatureAlgorithm::ALL.iter().filter(|other| **other != algorithm) {
                let digest = hashed(*wrong, b"a manifest");
                assert_eq!(ready.sign(*wrong, &digest), Err(CryptoError::WrongAlgorithm));
                let verified = ours.public.verify(*wrong, &digest, &here);
                assert_eq!(verified, Err(CryptoError::WrongAlgorithm));
            }
            // What they made is taken in, and is the same key.
            let made = SigningKey::from(
                $library::SecretKey::from_slice(&[5; $curve.coordinate_len()][..])
                    .or_else(|_| {
                        let mut small = [5; $curve.coordinate_len()];
                        small[0] = 0;
                        $library::SecretKey::from_slice(&small)
                    })
                    .expect("a secret"),
            );
            let point = VerifyingKey::from(&made).to_sec1_point(false);
            let jwk = |d: Vec<u8>| PrivateJwk::Ec {
                curve: $curve,
                x: point.x().expect("x").to_vec(),
                y: point.y().expect("y").to_vec(),
                d: Zeroizing::new(d),
            };
            let taken = NewPrivate::import(&jwk(made.to_bytes().to_vec())).expect("taken in");
            let there: Signature = made.sign_prehash(&digest).unwrap();
            assert_eq!(taken.public.verify(algorithm, &digest, &there.to_bytes()), Ok(true));
            let mut wrong = made.to_bytes().to_vec();
            *wrong.last_mut().expect("a byte") ^= 1;
            let refused = NewPrivate::import(&jwk(wrong)).expect_err("another private number");
            assert_eq!(refused, CryptoError::BadComponents);
        }
    };
}

curve_agrees!(es256_agrees_with_another_implementation_both_ways, p256, Curve::P256);
curve_agrees!(es384_agrees_with_another_implementation_both_ways, p384, Curve::P384);
curve_agrees!(es512_agrees_with_another_implementation_both_ways, p521, Curve::P521);
curve_agrees!(es256k_agrees_with_another_implementation_both_ways, k256, Curve::P256K);

/// A change of components and what it is called.
type Edit<'e> = (&'static str, &'e dyn Fn(&mut RsaPrivateJwk));

fn rsa_jwk(key: &rsa::PrivateKey) -> RsaPrivateJwk {
    let bytes = |number: &BoxedUint| Zeroizing::new(number.to_be_bytes_trimmed_vartime().to_vec());
    let (p, q) = (&key.primes()[0], &key.primes()[1]);
    let qi = key.crt_coefficient().expect("two primes");
    RsaPrivateJwk {
        n: bytes(key.n()).to_vec(),
        e: bytes(key.e()).to_vec(),
        d: bytes(key.d()),
        p: bytes(p),
        q: bytes(q),
        dp: bytes(key.dp().expect("computed")),
        dq: bytes(key.dq().expect("computed")),
        qi: bytes(&qi),
    }
}

#[test]
fn imported_rsa_components_become_the_same_key_and_inconsistent_ones_do_not() {
    let ours = NewPrivate::generate(KeyShape::Rsa(RsaSize::R2048)).unwrap();
    let theirs = theirs(&ours);
    let taken = NewPrivate::import(&PrivateJwk::Rsa(Box::new(rsa_jwk(&theirs)))).expect("taken");
    assert_eq!(taken.public, ours.public);
    assert_eq!(taken.pkcs8, ours.pkcs8);
    let other = NewPrivate::generate(KeyShape::Rsa(RsaSize::R2048)).unwrap();
    let other = rsa_jwk(&self::theirs(&other));
    let edits: [Edit<'_>; 12] = [
        ("another n", &|key| key.n.clone_from(&other.n)),
        ("another e", &|key| key.e = vec![3]),
        ("an even e", &|key| key.e = vec![2]),
        ("no e", &|key| key.e = Vec::new()),
        ("another d", &|key| key.d.clone_from(&other.d)),
        ("another p", &|key| key.p.clone_from(&other.p)),
        ("another q", &|key| key.q.clone_from(&other.q)),
        ("another dp", &|key| key.dp.clone_from(&other.dp)),
        ("another dq", &|key| key.dq.clone_from(&other.dq)),
        ("another qi", &|key| key.qi.clone_from(&other.qi)),
        ("no d", &|key| key.d = Zeroizing::new(Vec::new())),
        ("half of n", &|key| key.n.truncate(128)),
    ];
    for (what, edit) in edits {
        let mut jwk = rsa_jwk(&theirs);
        edit(&mut jwk);
        let refused = NewPrivate::import(&PrivateJwk::Rsa(Box::new(jwk))).expect_err(what);
        assert_eq!(refused, CryptoError::BadComponents, "{what}");
    }
    let mut padded = rsa_jwk(&theirs);
    padded.n.insert(0, 0);
    padded.e.insert(0, 0);
    let padded = NewPrivate::import(&PrivateJwk::Rsa(Box::new(padded))).expect("leading zeros");
    assert_eq!(padded.public, ours.public);
}

#[test]
fn they_read_our_keys_and_we_read_theirs() {
    let ours = NewPrivate::generate(KeyShape::Rsa(RsaSize::R2048)).unwrap();
    let their_form = theirs(&ours).to_pkcs8_der().unwrap();
    let read = NewPrivate::from_pkcs8(ours.shape, their_form.as_bytes()).expect("reads");
    assert_eq!(read.public, ours.public);
    for wrong in [KeyShape::Rsa(RsaSize::R3072), KeyShape::Ec(Curve::P256)] {
        assert!(NewPrivate::from_pkcs8(wrong, &ours.pkcs8).is_err(), "{wrong:?}");
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let ours = NewPrivate::generate(KeyShape::Rsa(RsaSize::R2048)).unwrap();
    for (algorithm, longest) in [
        (EncryptionAlgorithm::RsaOaep256, 190),
        (EncryptionAlgorithm::RsaOaep, 214),
        (EncryptionAlgorithm::Rsa15, 245),
    ] {
        assert!(ours.public.encrypt(algorithm, &vec![1; longest]).is_ok(), "{algorithm}");
        let answer = ours.public.encrypt(algorithm, &vec![1; longest + 1]);
        assert_eq!(answer, Err(CryptoError::TooLong), "{algorithm}");
        let ready = ready(&ours, Purpose::decrypting(algorithm));
        for length in [0, 1, 255, 256, 257, 5000] {
            let answer = ready.decrypt(algorithm, &vec![0; length]);
            assert_eq!(answer, Err(CryptoError::NotDecrypted), "{algorithm}, {length} bytes");
        }
    }
    let ready = ready(&ours, Purpose::Sign);
    for length in [0, 31, 33, 64] {
        let answer = ready.sign(SignatureAlgorithm::Rs256, &vec![0; length]);
        assert_eq!(answer, Err(CryptoError::DigestLength), "{length}");
    }
    for signature in [&[][..], &[0; 255], &[0; 256], &[0xff; 256], &[0; 5000]] {
        let answer = ours.public.verify(SignatureAlgorithm::Ps256, &[0; 32], signature);
        assert_eq!(answer, Ok(false));
    }
    let ec = NewPrivate::generate(KeyShape::Ec(Curve::P256)).unwrap();
    let answer = ec.public.encrypt(EncryptionAlgorithm::RsaOaep256, b"k");
    assert_eq!(answer, Err(CryptoError::WrongAlgorithm));
}
