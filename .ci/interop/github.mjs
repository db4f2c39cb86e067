// A server in the shape of the token service of GitHub Actions, with jose:
// https://docs.github.com/en/actions/reference/security/oidc
//
//   node github.mjs CERTIFICATE KEY URLFILE
//
// It is an issuer with metadata and a JWK Set. /token answers as the URL in
// ACTIONS_ID_TOKEN_REQUEST_URL does; the query names the audience, and may replace claims.
// URLFILE receives its base URL.
import { randomUUID, webcrypto } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import * as jose from 'jose'

globalThis.crypto ??= webcrypto // Node.js 18 has it under this name only

const [certificate, key, urlFile] = process.argv.slice(2)
const { privateKey, publicKey } = await jose.generateKeyPair('RS256', { extractable: true })
const jwk = { ...(await jose.exportJWK(publicKey)), kid: randomUUID(), use: 'sig', alg: 'RS256' }

function sign(issuer, replaced) {
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    jti: randomUUID(),
    sub: 'repo:octo-org/octo-repo:ref:refs/heads/main',
    aud: 'https://github.com/octo-org',
    ref: 'refs/heads/main',
    sha: '0123456789abcdef0123456789abcdef01234567',
    repository: 'octo-org/octo-repo',
    repository_owner: 'octo-org',
    actor_id: '12',
    repository_visibility: 'private',
    repository_id: '74',
    repository_owner_id: '65',
    run_id: '30433642',
    run_number: '10',
    run_attempt: '2',
    runner_environment: 'github-hosted',
    actor: 'octocat',
    workflow: 'deploy',
    head_ref: '',
    base_ref: '',
    event_name: 'push',
    ref_protected: 'true',
    ref_type: 'branch',
    workflow_ref: 'octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main',
    job_workflow_ref: 'octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main',
    iss: issuer,
    nbf: now - 300,
    exp: now + 300,
    iat: now,
    ...replaced,
  }
  return new jose.SignJWT(claims).setProtectedHeader({ typ: 'JWT', alg: 'RS256', x5t: jwk.kid, kid: jwk.kid }).sign(privateKey)
}

const server = createServer({ cert: await readFile(certificate), key: await readFile(key) }, async (request, response) => {
  const issuer = `https://${request.headers.host}`
  const url = new URL(request.url, issuer)
  const answers = {
    '/.well-known/openid-configuration': () => ({
      issuer,
      jwks_uri: `${issuer}/.well-known/jwks`,
      subject_types_supported: ['public', 'pairwise'],
      response_types_supported: ['id_token'],
      id_token_signing_alg_values_supported: ['RS256'],
      scopes_supported: ['openid'],
    }),
    '/.well-known/jwks': () => ({ keys: [jwk] }),
    '/token': async () => {
      const { audience: aud, ...replaced } = Object.fromEntries(url.searchParams)
      return { value: await sign(issuer, { aud, ...replaced }) }
    },
  }
  const answer = answers[url.pathname]
  response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' })
  response.end(JSON.stringify(answer ? await answer() : {}))
})
server.listen(0, '127.0.0.1', () => writeFile(urlFile, `https://127.0.0.1:${server.address().port}`))
