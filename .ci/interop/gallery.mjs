// Has the npm package jose judge a gallery of faulty tokens and prints where its verdict
// is not the manifest's, with the manifest's behind it: an exclamation mark says that a
// standard demands it.
//
//   node gallery.mjs DIR
//
// DIR is what `jwksctl token --gallery DIR` wrote. "bare" is jose as its documentation
// sets it up, "strict" is jose told all that it can be told.
import { webcrypto } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as jose from 'jose'

globalThis.crypto ??= webcrypto // Node.js 18 has it under this name only

const read = (name) => readFile(join(process.argv[2], name), 'utf8')
const manifest = JSON.parse(await read('manifest.json'))
const jwks = JSON.parse(await read(manifest.jwks))
const keys = jose.createLocalJWKSet(jwks)

const bare = { issuer: manifest.issuer, audience: manifest.audience, currentDate: new Date(manifest.time) }
const strict = {
  ...bare,
  algorithms: [...new Set(jwks.keys.flatMap((key) => key.alg ?? ['EdDSA', 'Ed25519']))],
  clockTolerance: '30s',
  requiredClaims: ['exp'],
}
const profiles = {
  'at+jwt': { typ: 'at+jwt', requiredClaims: ['exp', 'sub', 'client_id', 'iat', 'jti'] }, // RFC 9068, section 2.2
}

for (const [name, options] of Object.entries({ bare, strict })) {
  for (const { file, answer, verdict, profile, name: token } of manifest.cases) {
    const accepted = await jose.jwtVerify(await read(file), keys, { ...options, ...profiles[profile] }).then(
      () => true,
      () => false,
    )
    if (answer === (accepted ? 'reject' : 'accept')) {
      console.log(`${name} ${accepted ? 'accepts' : 'refuses'} ${token} (${verdict})`)
    }
  }
}
