// Package seal encrypts private keys for storage. A [Key] seals bytes together with a
// context, and opens them only with the same key and the same context. It satisfies
// keys.Sealer.
//
// A sealed private key is one envelope:
//
//	+------+-------------+------------------+----------+
//	| 0x01 | nonce, 12 B | ciphertext, as   | tag,     |
//	|      | (random)    | long as the key  | 16 B     |
//	+------+-------------+------------------+----------+
//
// The cipher is AES-256-GCM. The version byte and the context are its associated
// data, so that a change of either makes Open fail. The context is not stored. A
// caller that joins it from several parts must make sure that no other parts give the
// same context.
//
// The sealing key is in a file of its own, created with mode 0600, one line of text:
//
//	jwksctl-seal-key-1 <43 characters: 32 random bytes, base64url without padding>
//
// HKDF-Expand with SHA-256 derives the AES key and the name of the key from the 32
// bytes. The name is public and reveals nothing about the key.
//
// [Create] makes a key file, complete or not at all, and never replaces one; [Load]
// only reads. The package does not rotate keys and does not decide where the file is.
package seal
