"""Every algorithm of the RSA and EC families by plain REST, against an independent implementation.

The SDKs encrypt, wrap and verify with the public half by themselves, so that only this tries what
the vault does there. Argument: an instance's `bootstrap.json`. Prints a line for each algorithm.
"""

import os

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from house import House, b64, done, unb64

OAEP = {
    "RSA-OAEP": padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),
    "RSA-OAEP-256": padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
    "RSA1_5": padding.PKCS1v15(),
}
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {
    "P-256": (ec.SECP256R1(), "ES256", hashes.SHA256()),
    "P-384": (ec.SECP384R1(), "ES384", hashes.SHA384()),
    "P-521": (ec.SECP521R1(), "ES512", hashes.SHA512()),
    "P-256K": (ec.SECP256K1(), "ES256K", hashes.SHA256()),
}


def number(text):
    return int.from_bytes(unb64(text), "big")


def integer(value, length=None):
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def digest_of(algorithm, message):
    state = hashes.Hash(algorithm)
    state.update(message)
    return state.finalize()


class Bench:
    def __init__(self):
        self.rest = House().rest("algorithms")

    def use(self, key, verb, body):
        return self.rest.good("POST", f"{key}/{verb}", body)

    def rsa(self, name, key, private=None):
        """Both directions of each algorithm; with the private half here, decrypts here too."""
        path = f"/keys/{name}"
        public = rsa.RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key()
        for algorithm, scheme in OAEP.items():
            for close, open_ in (("encrypt", "decrypt"), ("wrapkey", "unwrapkey")):
                plain = os.urandom(32)
                closed = self.use(path, close, {"alg": algorithm, "value": b64(plain)})
                assert closed["kid"] == key["kid"], closed
                if private:
                    assert private.decrypt(unb64(closed["value"]), scheme) == plain
                opened = self.use(path, open_, {"alg": algorithm, "value": closed["value"]})
                assert unb64(opened["value"]) == plain, (algorithm, close)
                theirs = public.encrypt(plain, scheme)
                opened = self.use(path, open_, {"alg": algorithm, "value": b64(theirs)})
                assert unb64(opened["value"]) == plain, (algorithm, open_)
            done(f"{name} {algorithm}")
        for family in ("RS", "PS"):
            for bits, algorithm in HASHES.items():
                scheme = padding.PKCS1v15() if family == "RS" else padding.PSS(
                    padding.MGF1(algorithm), algorithm.digest_size)
                self.signed(
                    path, family + bits, algorithm,
                    lambda signature, digest, scheme=scheme, algorithm=algorithm: public.verify(
                        signature, digest, scheme, utils.Prehashed(algorithm)),
                    lambda digest, scheme=scheme, algorithm=algorithm: private and private.sign(
                        digest, scheme, utils.Prehashed(algorithm)))
                done(f"{name} {family}{bits}")

    def ec(self, name, key, private=None):
        curve, algorithm, hashing = CURVES[key["crv"]]
        numbers = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), curve)
        public, length = numbers.public_key(), (curve.key_size + 7) // 8
        assert len(unb64(key["x"])) == len(unb64(key["y"])) == length, key

        def check(signature, digest):
            assert len(signature) == 2 * length, (algorithm, len(signature))
            halves = (int.from_bytes(half, "big") for half in
                      (signature[:length], signature[length:]))
            public.verify(utils.encode_dss_signature(*halves), digest,
                          ec.ECDSA(utils.Prehashed(hashing)))

        def sign(digest):
            if not private:
                return None
            signature = private.sign(digest, ec.ECDSA(utils.Prehashed(hashing)))
            return b"".join(half.to_bytes(length, "big")
                            for half in utils.decode_dss_signature(signature))

        self.signed(f"/keys/{name}", algorithm, hashing, check, sign)
        done(f"{name} {algorithm}")

    def signed(self, path, algorithm, hashing, check, sign):
        digest = digest_of(hashing, os.urandom(100))
        made = self.use(path, "sign", {"alg": algorithm, "value": b64(digest)})
        signature = unb64(made["value"])
        check(signature, digest)
        other = digest_of(hashing, b"something else")
        try:
            check(signature, other)
        except InvalidSignature:
            pass
        else:
            raise AssertionError(f"{algorithm} signs everything")
        theirs = [signature] + ([sign(digest)] if sign(digest) else [])
        for each in theirs:
            for told, right in ((digest, True), (other, False)):
                body = {"alg": algorithm, "digest": b64(told), "value": b64(each)}
                assert self.use(path, "verify", body) == {"value": right}, (algorithm, right)

    def make(self, name, body):
        return self.rest.good("POST", f"/keys/{name}/create", body)["key"]

    def take_in(self, name, jwk):
        return self.rest.good("PUT", f"/keys/{name}", {"key": jwk})["key"]


def rsa_jwk(private):
    numbers = private.private_numbers()
    public = numbers.public_numbers
    return {
        "kty": "RSA", "n": integer(public.n), "e": integer(public.e), "d": integer(numbers.d),
        "p": integer(numbers.p), "q": integer(numbers.q), "dp": integer(numbers.dmp1),
        "dq": integer(numbers.dmq1), "qi": integer(numbers.iqmp),
    }


def ec_jwk(name, private):
    curve, length = CURVES[name][0], (CURVES[name][0].key_size + 7) // 8
    numbers = private.private_numbers()
    point = numbers.public_numbers
    assert point.curve.name == curve.name
    return {
        "kty": "EC", "crv": name, "x": integer(point.x, length), "y": integer(point.y, length),
        "d": integer(numbers.private_value, length),
    }


def main():
    House().make_vault("algorithms")
    bench = Bench()
    for bits in (2048, 3072, 4096):
        kind = "RSA-HSM" if bits == 3072 else "RSA"
        key = bench.make(f"made-{bits}", {"kty": kind, "key_size": bits})
        assert key["kty"] == kind and len(unb64(key["n"])) * 8 == bits, key
        bench.rsa(f"made-{bits}", key)
        private = rsa.generate_private_key(65537, bits)
        bench.rsa(f"taken-{bits}", bench.take_in(f"taken-{bits}", rsa_jwk(private)), private)
    for curve in CURVES:
        kind = "EC-HSM" if curve == "P-384" else "EC"
        name = f"made-{curve}"
        bench.ec(name, bench.make(name, {"kty": kind, "crv": curve}))
        private, name = ec.generate_private_key(CURVES[curve][0]), f"taken-{curve}"
        bench.ec(name, bench.take_in(name, ec_jwk(curve, private)), private)


main()
