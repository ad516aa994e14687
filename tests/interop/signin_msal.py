"""MSAL for Python, unmodified, by every flow. Argument: a JSON file that says who and where.

Prints what each flow's access token says, one JSON object a line; fails if a flow fails.
"""

import json
import os
import sys
import threading
from base64 import urlsafe_b64decode
from urllib.parse import parse_qsl, urlsplit

import msal
import requests

from signin_browser import Browser

AZ = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"


def say(flow, result):
    assert "access_token" in result, (flow, result)
    middle = result["access_token"].split(".")[1]
    claims = json.loads(urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    print(json.dumps({"flow": flow, "claims": claims}), flush=True)
    return result


class Flows:
    def __init__(self, where):
        self.where = where
        self.scopes = [where["managementEndpoint"] + "/.default"]

    def common(self, tenant=None):
        tenant = tenant or self.where["tenantId"]
        authority = f"{self.where['loginEndpoint']}/{tenant}"
        return {"authority": authority, "instance_discovery": False}

    def confidential(self, credential):
        return msal.ConfidentialClientApplication(
            self.where["clientId"], client_credential=credential, **self.common())

    def public(self, tenant=None):
        return msal.PublicClientApplication(AZ, **self.common(tenant))

    def secret(self):
        app = self.confidential(self.where["clientSecret"])
        say("secret", app.acquire_token_for_client(self.scopes))
        wrong = self.confidential("wrong").acquire_token_for_client(self.scopes)
        assert wrong["error"] == "invalid_client" and 7000215 in wrong["error_codes"], wrong

    def certificate(self):
        pem = open(self.where["certificate"]).read()
        public = pem[pem.index("-----BEGIN CERTIFICATE"):]
        for key in ({"private_key": pem, "public_certificate": public},
                    {"private_key": pem, "thumbprint": self.where["thumbprint"]}):
            app = self.confidential(key)
            say("certificate", app.acquire_token_for_client(self.scopes))
            # The same assertion for another resource, as MSAL does within ten minutes.
            graph = [self.where["managementEndpoint"].replace("management", "graph", 1) + "/.default"]
            say("certificate again", app.acquire_token_for_client(graph))

    def federated(self):
        token = open(self.where["federated"]).read()
        say("federated", self.confidential({"client_assertion": token})
            .acquire_token_for_client(self.scopes))

    def password(self):
        app = self.public()
        user, password = self.where["userName"], self.where["password"]
        say("password", app.acquire_token_by_username_password(user, password, self.scopes))
        account = app.get_accounts(user)[0]
        say("refresh", app.acquire_token_silent(self.scopes, account, force_refresh=True))
        say("refresh again", app.acquire_token_silent(self.scopes, account, force_refresh=True))
        wrong = app.acquire_token_by_username_password(user, "wrong", self.scopes)
        assert wrong["error"] == "invalid_grant" and 50126 in wrong["error_codes"], wrong

    def device(self):
        app = self.public("organizations")
        flow = app.initiate_device_flow(self.scopes)
        Browser().let_in(flow["verification_uri"], flow["user_code"],
                         self.where["userName"], self.where["password"])
        say("device", app.acquire_token_by_device_flow(flow))

    def code(self):
        app = self.public()
        flow = app.initiate_auth_code_flow(self.scopes, redirect_uri="http://localhost:1")
        browser = Browser()
        back = browser.sign_in(browser.open(flow["auth_uri"]),
                               self.where["userName"], self.where["password"])
        answer = dict(parse_qsl(urlsplit(back.headers["location"]).query))
        say("code", app.acquire_token_by_auth_code_flow(flow, answer))

    def interactive(self):
        """With MSAL's own listener on a port of its choice, and an answer that is posted."""
        def sign_in(url):
            browser = Browser()
            page = browser.sign_in(browser.open(url),
                                   self.where["userName"], self.where["password"])
            if page.status_code == 303:
                requests.get(page.headers["location"])
            else:
                browser.submit(page)

        import webbrowser

        class Person:
            name = "person"

            def open(self, url, *_):
                threading.Thread(target=sign_in, args=(url,)).start()
                return True

        webbrowser.register("person", None, Person(), preferred=True)
        webbrowser.get = lambda *_: Person()
        say("interactive", self.public().acquire_token_interactive(self.scopes, timeout=60))

    def identity(self):
        from msal import SystemAssignedManagedIdentity, UserAssignedManagedIdentity

        resource = self.where["managementEndpoint"]
        identity = self.where["identity"]
        forms = [
            {"IDENTITY_ENDPOINT": identity["endpoint"] + "/token", "IDENTITY_HEADER": identity["header"]},
            {"AZURE_POD_IDENTITY_AUTHORITY_HOST": identity["endpoint"]},
        ]
        for form in forms:
            os.environ.update(form)
            for who in (SystemAssignedManagedIdentity(),
                        UserAssignedManagedIdentity(client_id=identity["clientId"])):
                client = msal.ManagedIdentityClient(who, http_client=requests.Session())
                say("identity", client.acquire_token_for_client(resource=resource))
            for name in form:
                del os.environ[name]


def main():
    flows = Flows(json.load(open(sys.argv[1])))
    for flow in ("secret", "certificate", "federated", "password", "device", "code", "interactive",
                 "identity"):
        getattr(flows, flow)()


if __name__ == "__main__":
    main()
