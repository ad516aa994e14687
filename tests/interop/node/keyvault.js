// npm @azure/identity and @azure/keyvault-keys, unmodified, by every operation.
//
// Argument: an instance's `bootstrap.json`; the proxy is in HTTPS_PROXY and the certificate to trust
// in NODE_EXTRA_CA_CERTS, where Node and the SDK look for them. The vaults `node` (which goes by
// roles) and `nodeuses` (in which the owner may use keys and not read them) are there. Prints a line
// for each part that is done.
"use strict";

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const fs = require("node:fs");
const { ClientSecretCredential } = require("@azure/identity");
const { KeyClient, CryptographyClient } = require("@azure/keyvault-keys");

const where = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const domain = new URL(where.managementEndpoint).host.replace(/^management\./, "");
const url = (vault) => `https://${vault}.vault.${domain}`;
const signIn = (secret) =>
  new ClientSecretCredential(where.tenantId, where.clientId, secret, {
    authorityHost: where.loginEndpoint, disableInstanceDiscovery: true,
  });
const credential = signIn(where.clientSecret);
const client = new KeyClient(url("node"), credential);
const done = (what) => console.log(what);
const digest = crypto.createHash("sha256").update("message").digest();

/** The SDK must raise its RestError with our status, code and sentence. */
async function refused(work, status, code, says = "") {
  await assert.rejects(work, (error) => {
    assert.equal(error.name, "RestError", `${error.name}: ${error.message}`);
    assert.deepEqual([error.statusCode, error.code], [status, code], error.message);
    assert.ok(error.message.includes(says), error.message);
    return true;
  });
}

async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

async function create() {
  for (const hsm of [false, true]) {
    const suffix = hsm ? "-HSM" : "";
    const rsa = await client.createRsaKey(`rsa${suffix}`, { keySize: 2048, hsm, tags: { a: "b" } });
    assert.equal(rsa.keyType, `RSA${suffix}`);
    assert.equal(rsa.properties.hsmPlatform, "0");
    assert.equal(rsa.properties.recoveryLevel, "Recoverable+Purgeable");
    assert.deepEqual(rsa.properties.tags, { a: "b" });
    for (const curve of ["P-256", "P-384", "P-521", "P-256K"]) {
      const made = await client.createEcKey(`ec${suffix}${curve}`, { curve, hsm });
      assert.deepEqual([made.keyType, made.key.crv], [`EC${suffix}`, curve]);
    }
  }
  const notBefore = new Date(1767323045000);
  const expiresOn = new Date(1767323046000);
  const plain = await client.createKey("plain", "RSA", {
    enabled: false, notBefore, expiresOn, keyOps: ["wrapKey"],
  });
  assert.equal(plain.properties.enabled, false);
  assert.deepEqual([plain.properties.notBefore, plain.properties.expiresOn], [notBefore, expiresOn]);
  assert.deepEqual(plain.keyOperations, ["wrapKey"]);
  await refused(() => client.createOctKey("oct"), 400, "BadParameter", "oct");
  await refused(() => client.createRsaKey("w", { keySize: 1024 }), 400, "BadParameter", "2048");
  await refused(() => client.createEcKey("w", { curve: "P-192" }), 400, "BadParameter", "P-256");
  done("create");
}

async function importKey() {
  const { privateKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = privateKey.export({ format: "jwk" });
  const octets = (name) => Buffer.from(jwk[name], "base64url");
  const key = { kty: "RSA", keyOps: ["decrypt", "encrypt"] };
  for (const name of ["n", "e", "d", "p", "q", "dp", "dq", "qi"]) key[name] = octets(name);
  const taken = await client.importKey("taken", key, { hardwareProtected: true });
  assert.equal(taken.keyType, "RSA-HSM");
  assert.deepEqual(Buffer.from(taken.key.n), octets("n"));
  assert.equal(taken.key.d, undefined);
  const sealed = crypto.publicEncrypt(
    { key: crypto.createPublicKey(privateKey), oaepHash: "sha256" }, digest);
  const opened = await new CryptographyClient(taken, credential).decrypt("RSA-OAEP-256", sealed);
  assert.deepEqual(Buffer.from(opened.result), digest);
  await refused(() => client.importKey("wrong", { ...key, d: octets("n") }), 400, "BadParameter");
  done("import");
}

async function look() {
  const made = [];
  for (let n = 0; n < 5; n += 1) made.push(await client.createEcKey("look"));
  assert.equal((await client.getKey("look")).id, made[4].id);
  const [first] = made;
  const again = await client.getKey("look", { version: first.properties.version });
  assert.deepEqual(again.key.x, first.key.x);
  const pages = await all(client.listPropertiesOfKeyVersions("look").byPage({ maxPageSize: 2 }));
  assert.deepEqual(pages.map((page) => page.length), [2, 2, 1]);
  assert.deepEqual(new Set(pages.flat().map((one) => one.id)), new Set(made.map((one) => one.id)));
  for (let n = 0; n < 26; n += 1) await client.createEcKey(`many-${n}`);
  const names = (await all(client.listPropertiesOfKeys())).map((one) => one.name);
  assert.equal(names.filter((name) => name.startsWith("many-")).length, 26);
  await refused(() => client.getKey("nothing"), 404, "KeyNotFound", "nothing was not found");
  done("get and list");
}

async function update() {
  const key = await client.createRsaKey("update", { tags: { a: "b" } });
  // Later than 2038 this SDK cannot say: it writes seconds into 32 bits.
  const expiresOn = new Date("2037-01-02T00:00:00Z");
  const changed = await client.updateKeyProperties("update", { expiresOn, keyOps: ["decrypt"] });
  assert.deepEqual([changed.id, changed.properties.expiresOn], [key.id, expiresOn]);
  assert.deepEqual([changed.keyOperations, changed.properties.tags], [["decrypt"], { a: "b" }]);
  const off = await client.updateKeyProperties(
    "update", key.properties.version, { enabled: false, tags: {} });
  assert.equal(off.properties.enabled, false);
  assert.deepEqual(off.properties.tags ?? {}, {});
  done("update");
}

async function rotate() {
  const key = await client.createRsaKey("rotate");
  const lifetimeActions = [{ action: "Rotate", timeAfterCreate: "P2M" }];
  const policy = await client.updateKeyRotationPolicy(
    "rotate", { expiresIn: "P90D", lifetimeActions });
  assert.ok(policy.id.endsWith("/keys/rotate/rotationpolicy"));
  const told = await client.getKeyRotationPolicy("rotate");
  assert.equal(told.expiresIn, "P90D");
  assert.deepEqual(told.lifetimeActions.map((one) => [one.action, one.timeAfterCreate]),
    [["Rotate", "P2M"]]);
  const next = await client.rotateKey("rotate");
  assert.notEqual(next.id, key.id);
  const life = (next.properties.expiresOn - next.properties.createdOn) / 86_400_000;
  assert.ok(Math.abs(life - 90) < 0.01, `${life} days`);
  await refused(
    () => client.updateKeyRotationPolicy("rotate", { expiresIn: "P1D", lifetimeActions: [] }),
    400, "BadParameter", "P28D");
  done("rotate");
}

async function remove() {
  const made = await client.createEcKey("delete");
  const poller = await client.beginDeleteKey("delete", { intervalInMs: 50 });
  const deleted = await poller.pollUntilDone();
  assert.equal(deleted.properties.recoveryId, `${url("node")}/deletedkeys/delete`);
  assert.equal(deleted.properties.scheduledPurgeDate - deleted.properties.deletedOn, 90 * 86_400_000);
  await refused(() => client.getKey("delete"), 404, "KeyNotFound", "recover");
  await refused(() => client.createEcKey("delete"), 409, "Conflict", "deleted but recoverable");
  assert.equal((await client.getDeletedKey("delete")).id, made.id);
  for (let n = 0; n < 3; n += 1) {
    await client.createEcKey(`gone-${n}`);
    await (await client.beginDeleteKey(`gone-${n}`, { intervalInMs: 50 })).pollUntilDone();
  }
  const pages = await all(client.listDeletedKeys().byPage({ maxPageSize: 3 }));
  assert.deepEqual(pages.map((page) => page.length), [3, 1]);
  const back = await client.beginRecoverDeletedKey("delete", { intervalInMs: 50 });
  assert.equal((await back.pollUntilDone()).id, made.id);
  for (let n = 0; n < 3; n += 1) {
    await client.purgeDeletedKey(`gone-${n}`);
    await refused(() => client.getDeletedKey(`gone-${n}`), 404, "KeyNotFound");
  }
  done("delete, recover and purge");
}

async function backup() {
  const made = await client.createRsaKey("backup");
  const copy = await client.backupKey("backup");
  await refused(() => client.restoreKeyBackup(copy), 409, "Conflict", "exists");
  await (await client.beginDeleteKey("backup", { intervalInMs: 50 })).pollUntilDone();
  await client.purgeDeletedKey("backup");
  const restored = await client.restoreKeyBackup(copy);
  assert.deepEqual([restored.id, restored.key.n], [made.id, made.key.n]);
  await refused(() => client.restoreKeyBackup(copy.slice(1)), 400, "BadParameter", "backup");
  done("backup and restore");
}

async function random() {
  for (const count of [1, 32, 128]) {
    assert.equal((await client.getRandomBytes(count)).length, count);
  }
  await refused(() => client.getRandomBytes(129), 400, "BadParameter", "128");
  done("random bytes");
}

const HASHES = { 256: "sha256", 384: "sha384", 512: "sha512", "256K": "sha256" };

/** All algorithms; where the SDK does the public half itself, and where it asks the vault. */
async function useWith(rsa, curves, hasKey) {
  for (const algorithm of ["RSA-OAEP-256", "RSA-OAEP", "RSA1_5"]) {
    const closed = await rsa.encrypt(algorithm, digest);
    assert.deepEqual(Buffer.from((await rsa.decrypt(algorithm, closed.result)).result), digest);
    const wrapped = await rsa.wrapKey(algorithm, digest);
    assert.deepEqual(Buffer.from((await rsa.unwrapKey(algorithm, wrapped.result)).result), digest);
  }
  const signers = Object.entries(curves);
  for (const family of ["RS", "PS"]) {
    for (const bits of ["256", "384", "512"]) signers.push([family + bits, rsa]);
  }
  for (const [algorithm, signer] of signers) {
    const data = Buffer.from(`signed by ${algorithm}`);
    const hashed = crypto.createHash(HASHES[algorithm.slice(2)]).update(data).digest();
    const signed = await signer.sign(algorithm, hashed);
    assert.equal((await signer.verify(algorithm, hashed, signed.result)).result, true, algorithm);
    const other = Buffer.from(hashed).reverse();
    assert.equal((await signer.verify(algorithm, other, signed.result)).result, false, algorithm);
    const ofData = await signer.signData(algorithm, data);
    // With the public half at hand, this SDK takes PSS signatures for PKCS #1 ones and refuses them.
    const right = !(hasKey && algorithm.startsWith("PS"));
    const verified = await signer.verifyData(algorithm, data, ofData.result);
    assert.equal(verified.result, right, algorithm);
  }
}

async function use() {
  const key = await client.createRsaKey("use", { keySize: 3072 });
  const curves = {};
  for (const [algorithm, curve] of
    [["ES256", "P-256"], ["ES384", "P-384"], ["ES512", "P-521"], ["ES256K", "P-256K"]]) {
    curves[algorithm] = new CryptographyClient(
      await client.createEcKey(`use${curve}`, { curve }), credential);
  }
  await useWith(new CryptographyClient(key, credential), curves, true);
  const byName = client.getCryptographyClient("use");
  const wrapped = await byName.wrapKey("RSA-OAEP-256", digest);
  assert.deepEqual(Buffer.from((await byName.unwrapKey("RSA-OAEP-256", wrapped.result)).result), digest);
  await refused(() => byName.decrypt("RSA-OAEP-256", Buffer.alloc(384)), 400, "BadParameter");
  await refused(() => byName.sign("PS512", digest), 400, "BadParameter");
  await client.updateKeyProperties("use", { enabled: false });
  await refused(() => byName.unwrapKey("RSA-OAEP-256", wrapped.result), 403, "Forbidden", "disabled");
  done("use");
}

async function useWithoutGet() {
  const blind = new KeyClient(url("nodeuses"), credential);
  const rsa = await blind.createRsaKey("rsa");
  const curves = {};
  for (const [algorithm, curve] of
    [["ES256", "P-256"], ["ES384", "P-384"], ["ES512", "P-521"], ["ES256K", "P-256K"]]) {
    const key = await blind.createEcKey(`ec${curve}`, { curve });
    curves[algorithm] = new CryptographyClient(key.id, credential);
  }
  await refused(() => blind.getKey("rsa"), 403, "Forbidden", "does not have keys get permission");
  await useWith(new CryptographyClient(rsa.id, credential), curves, false);
  done("use without get");
}

async function wrong() {
  await refused(() => new KeyClient(url("nosuch"), credential).getKey("k"), 404, "ResourceNotFound");
  const stranger = new KeyClient(url("node"), signIn("wrong"));
  await assert.rejects(() => stranger.getKey("rsa"), (error) => {
    assert.match(error.name, /^Authentication/);
    assert.ok(error.message.includes("7000215"), error.message);
    return true;
  });
  await refused(() => client.releaseKey("rsa", "token"), 400, "BadParameter", "released");
  await refused(() => client.createRsaKey("under_score"), 400, "BadParameter", "name");
  done("wrong inputs");
}

async function main() {
  for (const part of [create, importKey, look, update, rotate, remove, backup, random, use,
    useWithoutGet, wrong]) {
    await part();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
