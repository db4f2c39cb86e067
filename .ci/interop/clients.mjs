// Has openid-client get tokens from jwksctl in each way that a client can authenticate, and
// express-oauth2-jwt-bearer judge them.
//
//   node clients.mjs JWKSCTL DIR ISSUER GITHUB
//
// DIR has what the script clients puts there: the secret of the client "secret" in secret, and
// the stores of the servers "service", whose keys are those of the client "key", "platform"
// and "issuer". GITHUB is the URL of github.mjs. The output is that of interop.mjs.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { webcrypto } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import express from 'express'
import { auth, requiredScopes } from 'express-oauth2-jwt-bearer'
import * as jose from 'jose'
import * as openid from 'openid-client'

globalThis.crypto ??= webcrypto // Node.js 18 has it under this name only

const [binary, dir, issuer, github] = process.argv.slice(2)
const audience = 'https://api.example'
const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const secret = (await readFile(join(dir, 'secret'), 'utf8')).trim()

async function check(library, row, name, run) {
  let line = ['ok', library, row, name]
  try {
    await run()
  } catch (error) {
    line = ['FAIL', ...line.slice(1), `${error.message} ${error.cause?.message ?? ''}`.replace(/\s+/g, ' ')]
  }
  console.log(line.join('\t'))
}

async function jwksctl(...args) {
  const { stdout } = await promisify(execFile)(binary, args)
  return stdout.trim()
}

const storeOf = (server) => ['--store', `sqlite:${join(dir, `${server}.db`)}`]

// politeFetch waits as long as the server demands: wrong credentials slow an address down.
async function politeFetch(url, options) {
  for (;;) {
    const response = await fetch(url, options)
    if (response.status !== 429) return response
    await setTimeout(1000 * Number(response.headers.get('retry-after')))
  }
}

// discover reads the metadata of the server.
const discover = (id, authentication, options) =>
  openid.discovery(new URL(issuer), id, undefined, authentication, { [openid.customFetch]: politeFetch, ...options })

// tokens asks the token endpoint that the metadata names for a token.
async function tokens(id, authentication, parameters = {}) {
  const answer = await openid.clientCredentialsGrant(await discover(id, authentication), parameters)
  assert.equal(answer.token_type, 'bearer')
  assert.ok(answer.expires_in > 0)
  const claims = jose.decodeJwt(answer.access_token)
  assert.deepEqual([claims.iss, claims.sub, claims.client_id], [issuer, id, id])
  return answer
}

// refused expects an error of the token endpoint: the status, and the code in the body.
async function refused(request, status, code) {
  const error = await request.then(() => assert.fail('got a token'), (error) => error)
  const body = error instanceof openid.WWWAuthenticateChallengeError ? await error.response.json() : error
  assert.deepEqual([error.status, body.error], [status, code], error.message)
  assert.ok(body.error_description)
  return error
}

const unauthenticated = (id, authentication) => refused(tokens(id, authentication, { resource: audience }), 401, 'invalid_client')

// assertion sends a token that another program has made.
function assertion(token) {
  return (_server, client, body) => {
    body.set('client_id', client.client_id)
    body.set('client_assertion_type', assertionType)
    body.set('client_assertion', token)
  }
}

async function checkSecret(row, way, challenged) {
  await check('openid', row, 'token', async () => {
    const answer = await tokens('secret', way(secret), { resource: audience, scope: 'read' })
    assert.equal(answer.scope, 'read')
    assert.equal(jose.decodeJwt(answer.access_token).aud, audience)
  })
  await check('openid', row, 'wrong', async () => {
    const error = await unauthenticated('secret', way(`${secret}x`))
    assert.equal(error instanceof openid.WWWAuthenticateChallengeError, challenged)
  })
  await check('openid', row, 'unknown', () => unauthenticated('mallory', way(secret)))
  await check('openid', row, 'other-way', () => unauthenticated('key', way(secret)))
}

async function activeKey(server) {
  const [{ kid }] = JSON.parse(await jwksctl('keys', 'list', ...storeOf(server), '--state', 'active', '-o', 'json'))
  const jwk = JSON.parse(await jwksctl('keys', 'export', kid, '--private', ...storeOf(server)))
  return { kid, key: await jose.importJWK(jwk, 'ES256') }
}

const signed = (server, id, aud) => jwksctl('assertion', ...storeOf(server), '--client', id, '--aud', aud)

async function checkKey() {
  const { kid, key } = await activeKey('service')
  const { privateKey: foreign } = await jose.generateKeyPair('ES256')
  await check('openid', 'key', 'token', () => tokens('key', openid.PrivateKeyJwt({ key, kid })))
  await check('openid', 'key', 'wrong', () => unauthenticated('key', openid.PrivateKeyJwt({ key: foreign, kid })))
  await check('openid', 'key', 'unknown', () => unauthenticated('mallory', openid.PrivateKeyJwt({ key, kid })))
  await check('openid', 'key', 'other-way', () => unauthenticated('secret', openid.PrivateKeyJwt({ key, kid })))
  await check('openid', 'key', 'audience', async () => unauthenticated('key', assertion(await signed('service', 'key', audience))))
  await check('openid', 'key', 'replayed', async () => {
    const once = assertion(await signed('service', 'key', issuer))
    await tokens('key', once)
    await unauthenticated('key', once)
  })
  await check('openid', 'key', 'rotated', async () => {
    await jwksctl('keys', 'rotate', '--force', '--reason', 'interop', ...storeOf('service'))
    const successor = await activeKey('service')
    assert.notEqual(successor.kid, kid)
    await tokens('key', openid.PrivateKeyJwt(successor))
  })
}

// checkPlatform has tokens of a platform as assertions: right(), and each of the others.
async function checkPlatform(id, right, others) {
  await check('openid', id, 'token', async () => tokens(id, assertion(await right())))
  for (const [name, other] of Object.entries(others)) {
    await check('openid', id, name, async () => unauthenticated(id, assertion(await other())))
  }
  await check('openid', id, 'other-way', async () => unauthenticated('secret', assertion(await right())))
  await check('openid', id, 'altered', async () => unauthenticated(id, assertion(alter(await right()))))
}

const ofPlatform = (sub, aud = 'https://tokens.example') => () => jwksctl('token', ...storeOf('platform'), '--sub', sub, '--aud', aud)

const ofGitHub = (claims = {}) => async () => {
  const query = new URLSearchParams({ audience: 'https://tokens.example', ...claims })
  return (await (await fetch(`${github}/token?${query}`)).json()).value
}

// alter gives the token another jti and leaves the signature.
function alter(token) {
  const [header, , signature] = token.split('.')
  return [header, jose.base64url.encode(JSON.stringify({ ...jose.decodeJwt(token), jti: 'altered' })), signature].join('.')
}

async function checkMetadata() {
  const metadata = (await discover('secret')).serverMetadata()
  assert.deepEqual(metadata.token_endpoint_auth_methods_supported, ['client_secret_basic', 'client_secret_post', 'private_key_jwt'])
  assert.deepEqual(metadata.grant_types_supported, ['client_credentials'])
  const oauth = await discover('secret', undefined, { algorithm: 'oauth2' })
  assert.equal(oauth.serverMetadata().token_endpoint, metadata.token_endpoint)
}

async function checkRequests() {
  const way = openid.ClientSecretBasic(secret)
  await check('openid', 'request', 'metadata', checkMetadata)
  await check('openid', 'request', 'scope', () => refused(tokens('secret', way, { resource: audience, scope: 'admin' }), 400, 'invalid_scope'))
  await check('openid', 'request', 'audience', () => refused(tokens('secret', way, { resource: 'https://evil.example' }), 400, 'invalid_target'))
  await check('openid', 'request', 'several', () => refused(tokens('secret', way), 400, 'invalid_target'))
}

// checkResource has an API judge tokens, which demands more at /write than at /.
async function checkResource() {
  const app = express()
  app.use(auth({ issuerBaseURL: issuer, audience, strict: true }))
  app.get('/', (request, response) => response.json(request.auth.payload))
  app.get('/write', requiredScopes('write'), (_request, response) => response.json({}))
  app.use((error, _request, response, _next) => response.status(error.status ?? 500).json({ code: error.code, message: error.message }))
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const get = async (token, path) => {
    const headers = { authorization: `Bearer ${token}` }
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers })
    return { status: response.status, body: await response.json() }
  }
  const accepts = async (token, path = '/') => {
    const { status, body } = await get(token, path)
    assert.equal(status, 200, body.message)
    return body
  }
  const refuses = async (token, message, status = 401, path = '/') => {
    const { status: got, body } = await get(token, path)
    assert.equal(got, status, body.message)
    assert.match(body.message, message)
  }
  await judge(accepts, refuses)
  server.close()
  server.closeAllConnections()
}

async function judge(accepts, refuses) {
  const way = openid.ClientSecretPost(secret)
  const ask = async (parameters) => (await tokens('secret', way, { resource: audience, ...parameters })).access_token
  const mint = (server, ...args) =>
    jwksctl('token', ...storeOf(server), '--sub', 'secret', '--typ', 'at+jwt', '--claim', 'client_id=secret', '--aud', audience, ...args)

  await check('express', 'accepts', 'token', async () => {
    const claims = await accepts(await ask({}))
    assert.deepEqual([claims.sub, claims.aud, claims.scope], ['secret', audience, 'read write'])
  })
  await check('express', 'accepts', 'scope', async () => accepts(await ask({ scope: 'write' }), '/write'))
  await check('express', 'accepts', 'minted', async () => accepts(await mint('issuer')))
  await check('express', 'refuses', 'audience', async () => refuses(await ask({ resource: 'https://other.example' }), /'aud'/))
  await check('express', 'refuses', 'issuer', async () => refuses(await mint('platform'), /'iss'|no applicable key/))
  await check('express', 'refuses', 'forged', async () => refuses(await mint('platform', '--iss', issuer), /no applicable key/))
  await check('express', 'refuses', 'altered', async () => refuses(alter(await ask({})), /signature/))
  await check('express', 'refuses', 'scope', async () => refuses(await ask({ scope: 'read' }), /Scope/, 403, '/write'))
  await check('express', 'refuses', 'expired', async () => {
    const body = new URLSearchParams({ client_id: 'secret', client_secret: secret, resource: audience })
    const response = await politeFetch(`${issuer}/auth?expired=true`, { method: 'POST', body })
    assert.equal(response.status, 200)
    const { token } = await response.json()
    assert.ok(jose.decodeJwt(token).exp < Date.now() / 1000)
    await refuses(token, /no applicable key/)
  })
  await check('express', 'refuses', 'past-exp', async () => refuses(await jwksctl(
    'token', ...storeOf('issuer'), '--fault', 'exp-past', '--sub', 'secret', '--typ', 'at+jwt', '--claim', 'client_id=secret', '--aud', audience,
  ), /"exp" claim/))
}

await checkSecret('basic', openid.ClientSecretBasic, true)
await checkSecret('post', openid.ClientSecretPost, false)
await checkKey()
await checkPlatform('platform', ofPlatform('deploy'), { wrong: ofPlatform('mallory'), audience: ofPlatform('deploy', audience) })
await checkPlatform('github', ofGitHub(), {
  wrong: ofGitHub({ sub: 'repo:octo-org/octo-repo-2:ref:refs/heads/main' }),
  audience: ofGitHub({ audience }),
  required: ofGitHub({ repository_id: '75' }),
})
const serviceAccount = 'system:serviceaccount:shop:billing'
await checkPlatform('offline', ofPlatform(serviceAccount), {
  wrong: ofPlatform('system:serviceaccount:shop:default'), audience: ofPlatform(serviceAccount, audience),
})
await checkRequests()
await checkResource()
