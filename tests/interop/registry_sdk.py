"""Works with a registry as Azure's own container registry library for Python does.

    registry_sdk.py REGISTRY AUTHORITY CLIENT SECRET
    registry_sdk.py REGISTRY

REGISTRY and AUTHORITY are URLs, the second with the tenant. The library gets a token from the issuer,
exchanges it at the registry, and asks for a token for each thing that it does. Without a client it
reads what the first call left, without signing in. Prints one line if all is well, fails otherwise.
"""

import hashlib
import io
import sys
import time

import msal
from azure.containerregistry import ContainerRegistryClient
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

AUDIENCE = "https://containerregistry.azure.net"
EMPTY = b"{}"


class Program:
    """A program's credential, as the library asks for one; MSAL does what azure-identity would."""

    def __init__(self, authority, client, secret):
        self.program = msal.ConfidentialClientApplication(
            client, client_credential=secret, authority=authority, instance_discovery=False
        )

    def get_token(self, *scopes, **_):
        told = self.program.acquire_token_for_client(list(scopes))
        if "access_token" not in told:
            raise ClientAuthenticationError(message=told.get("error_description"))
        return AccessToken(told["access_token"], int(time.time()) + told["expires_in"])


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write(client):
    """Pushes an image of two layers, tags it twice and gives it back as it was."""
    layer = bytes(range(256)) * 20_000
    digest, size = client.upload_blob("sdk/app", io.BytesIO(layer))
    assert (digest, size) == (digest_of(layer), len(layer)), (digest, size)
    config, _ = client.upload_blob("sdk/app", io.BytesIO(EMPTY))
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config,
            "size": len(EMPTY),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest,
                "size": size,
            }
        ],
    }
    first = client.set_manifest("sdk/app", manifest, tag="v1")
    assert client.set_manifest("sdk/app", manifest, tag="v2") == first
    return layer, first


def read(client, layer, first):
    assert "sdk/app" in list(client.list_repository_names())
    found = client.get_manifest("sdk/app", "v1")
    assert found.digest == first, (found.digest, first)
    assert found.manifest["layers"][0]["size"] == len(layer)
    stream = client.download_blob("sdk/app", found.manifest["layers"][0]["digest"])
    assert b"".join(stream) == layer, "other bytes came back"


def signed_in(registry, authority, program, secret):
    credential = Program(authority, program, secret)
    with ContainerRegistryClient(registry, credential, audience=AUDIENCE) as client:
        layer, first = write(client)
        read(client, layer, first)
        client.delete_manifest("sdk/app", first)
        try:
            client.get_manifest("sdk/app", "v1")
            raise AssertionError("the manifest is still there")
        except ResourceNotFoundError:
            pass
        # Left for whoever reads without signing in.
        write(client)
    wrong = Program(authority, program, "wrong")
    with ContainerRegistryClient(registry, wrong, audience=AUDIENCE) as client:
        try:
            client.get_manifest("sdk/app", "v1")
            raise AssertionError("a wrong secret was believed")
        except ClientAuthenticationError:
            pass


def anonymous(registry):
    with ContainerRegistryClient(registry, None, audience=AUDIENCE) as client:
        found = client.get_manifest("sdk/app", "v1")
        blob = b"".join(client.download_blob("sdk/app", found.manifest["layers"][0]["digest"]))
        assert digest_of(blob) == found.manifest["layers"][0]["digest"]
        try:
            client.upload_blob("sdk/app", io.BytesIO(b"a stranger's"))
            raise AssertionError("a stranger pushed")
        except HttpResponseError as error:
            assert error.status_code in (401, 403), error.status_code


def main(registry, *signed):
    if signed:
        signed_in(registry, *signed)
    else:
        anonymous(registry)
    print("the library is content")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 5):
        sys.exit("usage: registry_sdk.py REGISTRY [AUTHORITY CLIENT SECRET]")
    main(*sys.argv[1:])
