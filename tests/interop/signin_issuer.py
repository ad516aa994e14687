"""Another issuer, for the length of a story: a discovery document and a key set over TLS.

Arguments: a folder to work in, a subject, an audience. Writes `port`, `token`, `root.pem`, `key.pem`
and the certificate's thumbprints there, the token being one that stands for the subject for ten
minutes, and then serves until it is ended.
"""

import json
import ssl
import sys
import time
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


def number(value):
    return urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


def certificate(folder, key):
    """Makes a certificate of `localhost` that is its own root."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "root.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "sha1").write_text(made.fingerprint(hashes.SHA1()).hex())
    (folder / "sha256").write_text(made.fingerprint(hashes.SHA256()).hex())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(private)


def main():
    folder, subject, audience = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate(folder, rsa.generate_private_key(public_exponent=65537, key_size=2048))
    public = key.public_key().public_numbers()
    keys = {"keys": [{"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256",
                      "n": number(public.n), "e": number(public.e)}]}
    documents = {"/keys": keys}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            document = documents.get(self.path)
            body = json.dumps(document or {}).encode()
            self.send_response(200 if document else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "root.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    issuer = f"https://localhost:{server.server_address[1]}"
    documents["/.well-known/openid-configuration"] = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
    now = int(time.time())
    claims = {"iss": issuer, "sub": subject, "aud": audience, "iat": now, "nbf": now, "exp": now + 600}
    (folder / "token").write_text(jwt.encode(claims, key, algorithm="RS256", headers={"kid": "one"}))
    # Last, and whole at once: whoever waits for it finds it written, and the rest too.
    (folder / "port.new").write_text(str(server.server_address[1]))
    (folder / "port.new").rename(folder / "port")
    server.serve_forever()


if __name__ == "__main__":
    main()
