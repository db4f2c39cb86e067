// Package seal keeps private halves at rest. A [Key] seals bytes bound to a
// context and opens them again only under the same key and the same context; it
// satisfies keys.Sealer.
//
// A sealed half is one versioned envelope:
//
//	+------+-------------+------------------+----------+
//	| 0x01 | nonce, 12 B | ciphertext, as   | tag,     |
//	|      | (random)    | long as the half | 16 B     |
//	+------+-------------+------------------+----------+
//
// The cipher is AES-256-GCM. The version byte and the context are its
// associated data, so neither can be changed. The context is not stored and is
// taken as it is: a caller that composes it of several parts must make the
// composition unambiguous.
//
// The key lives in a file of its own, mode 0600, one line of text:
//
//	jwksctl-seal-key-1 <43 characters: 32 random bytes, base64url without padding>
//
// The 32 bytes are never used as they are. HKDF-Expand with SHA-256 derives the
// AES key and the key's name from them, so that the name, which is public, says
// nothing about the key.
//
// [Create] alone makes key files, whole or not at all and never over an
// existing one; [Load] only reads. The package does not hold several keys, does
// not rotate them and does not decide where they live.
package seal
