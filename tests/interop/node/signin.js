// MSAL for Node, unmodified, by every flow. Argument: a JSON file that says who and where.
//
// Prints what each flow's access token says, one JSON object a line; fails if a flow fails. MSAL
// reaches our names by a network module, which is its own way to be told about a proxy.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const tls = require("node:tls");
const { execFile } = require("node:child_process");
const path = require("node:path");
const msal = require("@azure/msal-node");

const where = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const authority = `${where.loginEndpoint}/${where.tenantId}`;
const scopes = [`${where.managementEndpoint}/.default`];
const AZ = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

/** Sends one request through the CONNECT listener. */
function send(method, url, options) {
  const { hostname, port } = new URL(url);
  const target = `${hostname}:${port || 443}`;
  const proxy = new URL(where.proxy);
  return new Promise((resolve, reject) => {
    const tunnel = http.request({
      host: proxy.hostname, port: proxy.port, method: "CONNECT", path: target, agent: false,
      headers: { host: target },
    });
    tunnel.on("error", reject);
    tunnel.on("connect", (_answer, socket) => {
      const createConnection = () =>
        tls.connect({ socket, servername: hostname, ca: fs.readFileSync(where.caFile) });
      const headers = { ...(options && options.headers) };
      const request = https.request(url, { method, headers, createConnection });
      request.on("error", reject);
      request.on("response", (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (piece) => (body += piece));
        response.on("end", () => {
          let read = body;
          try { read = JSON.parse(body); } catch { /* pages are no JSON */ }
          resolve({ headers: response.headers, body: read, status: response.statusCode });
        });
      });
      request.end(options && options.body);
    });
    tunnel.end();
  });
}

const networkClient = {
  sendGetRequestAsync: (url, options) => send("GET", url, options),
  sendPostRequestAsync: (url, options) => send("POST", url, options),
};

function say(flow, result) {
  if (!result || !result.accessToken) throw new Error(`${flow} gave nothing`);
  const claims = JSON.parse(Buffer.from(result.accessToken.split(".")[1], "base64url"));
  console.log(JSON.stringify({ flow, claims }));
  return result;
}

const common = { authority, knownAuthorities: [new URL(authority).host] };
const confidential = (credential) =>
  new msal.ConfidentialClientApplication({
    auth: { clientId: where.clientId, ...common, ...credential }, system: { networkClient },
  });
const newPublic = () =>
  new msal.PublicClientApplication({ auth: { clientId: AZ, ...common }, system: { networkClient } });

/** Lets a device in, as a person does. */
function letIn(response) {
  const script = path.join(__dirname, "..", "signin_browser.py");
  const words = [script, response.verificationUri, response.userCode, where.userName, where.password];
  execFile(where.python, words, (error) => { if (error) throw error; });
}

/** Fills in the sign-in page and returns the answer's parameters. */
async function signIn(url) {
  const page = await send("GET", url);
  const cookie = page.headers["set-cookie"][0].split(";")[0];
  const body = new URLSearchParams({
    form_token: cookie.slice(cookie.indexOf("=") + 1), username: where.userName,
    password: where.password, action: "sign-in",
  }).toString();
  const headers = { cookie, "content-type": "application/x-www-form-urlencoded" };
  const back = await send("POST", url, { headers, body });
  if (back.status !== 303) throw new Error(`the page answered ${back.status}`);
  return new URL(back.headers.location).searchParams;
}

async function main() {
  const secret = confidential({ clientSecret: where.clientSecret });
  say("secret", await secret.acquireTokenByClientCredential({ scopes }));
  const wrong = confidential({ clientSecret: "wrong" });
  const refusal = await wrong.acquireTokenByClientCredential({ scopes }).catch((error) => error);
  if (refusal.errorCode !== "invalid_client") throw refusal;

  const pem = fs.readFileSync(where.certificate, "utf8");
  const thumbprintSha256 = where.thumbprintSha256;
  const certified = confidential({ clientCertificate: { privateKey: pem, thumbprintSha256 } });
  say("certificate", await certified.acquireTokenByClientCredential({ scopes }));

  const clientAssertion = fs.readFileSync(where.federated, "utf8");
  const federated = confidential({ clientAssertion });
  say("federated", await federated.acquireTokenByClientCredential({ scopes }));

  const app = newPublic();
  const user = { scopes, username: where.userName, password: where.password };
  if (app.acquireTokenByUsernamePassword) {
    say("password", await app.acquireTokenByUsernamePassword(user));
  }

  const device = newPublic();
  const deviceCodeCallback = letIn;
  const signed = say("device", await device.acquireTokenByDeviceCode({ scopes, deviceCodeCallback }));
  const silent = { scopes, account: signed.account, forceRefresh: true };
  say("refresh", await device.acquireTokenSilent(silent));
  say("refresh again", await device.acquireTokenSilent(silent));

  const { verifier, challenge } = await new msal.CryptoProvider().generatePkceCodes();
  const redirectUri = "http://localhost:1";
  const code = newPublic();
  const url = await code.getAuthCodeUrl({
    scopes, redirectUri, codeChallenge: challenge, codeChallengeMethod: "S256", state: "x",
    responseMode: "query",
  });
  const answer = await signIn(url);
  say("code", await code.acquireTokenByCode({
    scopes, redirectUri, codeVerifier: verifier, code: answer.get("code"),
  }));

  const { endpoint, header, clientId } = where.identity;
  const resource = where.managementEndpoint;
  const forms = [
    { IDENTITY_ENDPOINT: `${endpoint}/token`, IDENTITY_HEADER: header },
    { AZURE_POD_IDENTITY_AUTHORITY_HOST: endpoint },
  ];
  for (const form of forms) {
    Object.assign(process.env, form);
    const params = { userAssignedClientId: clientId };
    const identity = new msal.ManagedIdentityApplication({ managedIdentityIdParams: params });
    say("identity", await identity.acquireToken({ resource, forceRefresh: true }));
    for (const name of Object.keys(form)) delete process.env[name];
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
