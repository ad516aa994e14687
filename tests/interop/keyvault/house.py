"""An instance as the Azure SDK meets it: the owner's credential, vaults, and plain REST beside it.

The instance is told by its `bootstrap.json`, whose path is the first argument of every script here;
the proxy and the certificate to trust are in the environment, where the SDK looks for both.
"""

import base64
import json
import sys
from urllib.parse import urlsplit

import requests
from azure.identity import ClientSecretCredential

API = "api-version=2025-07-01"
MANAGEMENT_API = "api-version=2023-07-01"
GROUP = "sdk"
LOCATION = "eastus"


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class House:
    def __init__(self, bootstrap=None):
        self.where = json.load(open(bootstrap or sys.argv[1]))
        self.management = self.where["managementEndpoint"].rstrip("/")
        domain = urlsplit(self.management).netloc.split(".", 1)[1]
        self.suffix = f"vault.{domain}"
        self.subscription = f"/subscriptions/{self.where['subscriptionId']}"

    def credential(self, client=None, secret=None, kind=ClientSecretCredential):
        """Signs in as the SDK does; only that the authority is not Microsoft's has to be said."""
        return kind(
            self.where["tenantId"], client or self.where["clientId"],
            secret or self.where["clientSecret"],
            authority=self.where["loginEndpoint"], disable_instance_discovery=True)

    def url(self, vault):
        return f"https://{vault}.{self.suffix}"

    def arm(self, method, path, body=None, version=MANAGEMENT_API):
        token = self.credential().get_token(f"{self.management}/.default").token
        reply = requests.request(
            method, f"{self.management}{path}?{version}", json=body,
            headers={"Authorization": f"Bearer {token}"})
        assert reply.status_code < 300, (method, path, reply.status_code, reply.text)
        return reply.json() if reply.content else None

    def make_vault(self, name, **properties):
        """Makes a vault that goes by roles, in which the owner's role at the subscription counts."""
        group = f"{self.subscription}/resourceGroups/{GROUP}"
        self.arm("PUT", group, {"location": LOCATION}, "api-version=2024-11-01")
        body = {"location": LOCATION, "properties": {
            "tenantId": self.where["tenantId"], "sku": {"family": "A", "name": "standard"},
            "accessPolicies": [], "enableRbacAuthorization": True, **properties}}
        self.arm("PUT", f"{group}/providers/Microsoft.KeyVault/vaults/{name}", body)
        return self.url(name)

    def object_id(self):
        """The owner's, as its token says it."""
        middle = self.token().split(".")[1]
        return json.loads(unb64(middle))["oid"]

    def rest(self, vault, credential=None):
        return Rest(self.url(vault), self.token(credential))

    def token(self, credential=None):
        return (credential or self.credential()).get_token(f"https://{self.suffix}/.default").token


class Rest:
    """Plain requests to one vault, without an SDK between."""

    def __init__(self, url, token):
        self.url, self.session = url, requests.Session()
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method, path, body=None, query=API, headers=None):
        separator = "&" if "?" in path else "?"
        return self.session.request(
            method, f"{self.url}{path}{separator}{query}", json=body, headers=headers)

    def good(self, method, path, body=None, **more):
        reply = self.ask(method, path, body, **more)
        assert reply.status_code in (200, 204), (method, path, reply.status_code, reply.text)
        return reply.json() if reply.content else None

    def refused(self, method, path, status, code, inner=None, body=None, **more):
        """The message of a refusal, which must have this status and these codes."""
        reply = self.ask(method, path, body, **more)
        assert reply.status_code == status, (method, path, reply.status_code, reply.text)
        error = reply.json()["error"]
        told = (error["code"], error.get("innererror", {}).get("code"))
        assert told == (code, inner), (method, path, reply.text)
        assert len(error["message"]) > 10, reply.text
        return error["message"]


def done(what):
    """Tells the story that runs a script that a part of it is done."""
    print(what, flush=True)
