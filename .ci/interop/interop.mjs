// Has the npm package jose and jwksctl judge each other's tokens.
//
//   node interop.mjs JWKSCTL DIR ALGORITHM...
//
// DIR/ALGORITHM holds the store of a running server, keys.db, and the file that
// received its base URL, url. Each check is one line on standard output: ok or FAIL,
// the library, the algorithm, the name of the check and, of a failure, why.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { webcrypto } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import * as jose from 'jose'

globalThis.crypto ??= webcrypto // Node.js 18 has it under this name only

const [binary, dir, ...algorithms] = process.argv.slice(2)
const audience = 'interop'

async function check(alg, name, run) {
  let row = ['ok', 'jose', alg, name]
  try {
    await run()
  } catch (error) {
    row = ['FAIL', ...row.slice(1), String(error.message).replace(/\s+/g, ' ')]
  }
  console.log(row.join('\t'))
}

// jwksctl runs a command; it never throws for an exit code.
function jwksctl(...args) {
  return new Promise((resolve) => {
    execFile(binary, args, (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }))
  })
}

async function output(...args) {
  const { code, stdout, stderr } = await jwksctl(...args)
  assert.equal(code, 0, stderr)
  return stdout.trim()
}

async function fetchJSON(url, init) {
  const response = await fetch(url, init)
  assert.equal(response.status, 200, `${url} answers ${response.status}`)
  return response.json()
}

// alter gives the token another subject and leaves the signature.
function alter(token) {
  const [header, , signature] = token.split('.')
  const claims = { ...jose.decodeJwt(token), sub: 'mallory' }
  return [header, jose.base64url.encode(JSON.stringify(claims)), signature].join('.')
}

// checkOurs has jose judge the tokens of the server and of the command line.
async function checkOurs(alg) {
  const base = (await readFile(join(dir, alg, 'url'), 'utf8')).trim()
  const store = ['--store', `sqlite:${join(dir, alg, 'keys.db')}`]
  const metadata = await fetchJSON(`${base}/.well-known/openid-configuration`)
  const remote = jose.createRemoteJWKSet(new URL(metadata.jwks_uri))
  const verify = (token) =>
    jose.jwtVerify(token, remote, {
      algorithms: [alg], issuer: metadata.issuer, audience, subject: 'alice', typ: 'JWT', requiredClaims: ['exp', 'iat', 'jti'],
    })

  const body = JSON.stringify({ sub: 'alice', aud: audience })
  const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body }
  const { token } = await fetchJSON(`${base}/auth`, post)

  await check(alg, 'discovery', () => {
    assert.equal(metadata.issuer, base)
    assert.equal(metadata.issuer, jose.decodeJwt(token).iss)
    assert.deepEqual(metadata.id_token_signing_alg_values_supported, [alg])
  })
  await check(alg, 'auth', () => verify(token))
  await check(alg, 'offline', async () => verify(await output('token', ...store, '--sub', 'alice', '--aud', audience)))
  await check(alg, 'altered', () => assert.rejects(verify(alter(token)), jose.errors.JWSSignatureVerificationFailed))
  await check(alg, 'expired', async () => {
    const { keys } = await fetchJSON(metadata.jwks_uri)
    const expired = [
      (await fetchJSON(`${base}/auth?expired=true`, post)).token,
      await output('token', ...store, '--expired', '--sub', 'alice', '--aud', audience),
    ]
    for (const token of expired) {
      const { kid } = jose.decodeProtectedHeader(token)
      assert.ok(jose.decodeJwt(token).exp < Date.now() / 1000)
      assert.ok(kid && keys.every((key) => key.kid !== kid), 'the kid is in the JWK Set')
      await assert.rejects(verify(token), jose.errors.JWKSNoMatchingKey)
      for (const key of keys) {
        await assert.rejects(jose.compactVerify(token, key), jose.errors.JWSSignatureVerificationFailed)
      }
    }
  })
}

async function newKey(alg) {
  const { privateKey, publicKey } = await jose.generateKeyPair(alg, { extractable: true })
  const jwk = await jose.exportJWK(publicKey)
  return { alg, privateKey, jwk: { ...jwk, kid: await jose.calculateJwkThumbprint(jwk), use: 'sig', alg } }
}

// checkTheirs has jwksctl judge tokens that jose signed, by a file that holds the one
// key and by a URL whose set holds the keys of every algorithm.
async function checkTheirs(key, url) {
  const { alg, jwk, privateKey } = key
  const file = join(dir, `jose-${alg}.json`)
  await writeFile(file, JSON.stringify({ keys: [jwk] }))

  const now = Math.floor(Date.now() / 1000)
  const good = { iss: 'https://jose.example', sub: 'alice', aud: audience, iat: now, exp: now + 300, roles: ['ä', 1, null] }
  const sign = (claims) => new jose.SignJWT(claims).setProtectedHeader({ alg, kid: jwk.kid, typ: 'JWT' }).sign(privateKey)
  const verify = (jwks, token) => jwksctl('verify', '--jwks', jwks, '--iss', good.iss, '--aud', audience, token)
  const accepts = async (jwks) => {
    const { code, stdout, stderr } = await verify(jwks, await sign(good))
    assert.equal(code, 0, stderr)
    assert.deepEqual(JSON.parse(stdout), good)
  }
  const refuses = async (token, want) => {
    const { code, stdout } = await verify(file, token)
    assert.deepEqual({ code, stdout }, { code: want, stdout: '' })
  }

  await check(alg, 'by-file', () => accepts(file))
  await check(alg, 'by-url', () => accepts(url))
  await check(alg, 'forged', async () => refuses(alter(await sign(good)), 1))
  await check(alg, 'past-exp', async () => refuses(await sign({ ...good, iat: now - 600, exp: now - 300 }), 14))
}

for (const alg of algorithms) await checkOurs(alg)

// RFC 9864's name for what RFC 8037 calls EdDSA; jwksctl reads it and writes EdDSA.
const keys = await Promise.all([...algorithms, 'Ed25519'].map(newKey))
const server = createServer((_, response) => {
  response.setHeader('content-type', 'application/jwk-set+json')
  response.end(JSON.stringify({ keys: keys.map((key) => key.jwk) }))
}).listen(0, '127.0.0.1')
await once(server, 'listening')
for (const key of keys) await checkTheirs(key, `http://127.0.0.1:${server.address().port}/jwks`)
server.close()
server.closeAllConnections()
