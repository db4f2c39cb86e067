// Package seal encrypts private keys for storage. A [Sealer] has the sealing keys of a
// [Source]. A key seals bytes together with a context, and opens them only with the same
// key and the same context. A Sealer satisfies keys.Sealer.
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
// The text of a source has one line for each key:
//
//	jwksctl-seal-key-1 <43 characters: 32 random bytes, base64url without padding>
//
// The first key seals the private keys of a new keyset, and every key is accepted. Empty
// lines are ignored. HKDF-Expand with SHA-256 derives the AES key and the name of the key
// from the 32 bytes. The name is public and reveals nothing about the key.
//
// A source is one of:
//
//	file:PATH        a file that other users cannot read or change
//	env:NAME         a variable of the environment, which child processes do not get;
//	                 /proc/PID/environ keeps it, so that credential: is better
//	credential:NAME  the file NAME in the folder that systemd names in CREDENTIALS_DIRECTORY
//	exec:COMMAND     what a command prints within ten seconds
//
// The words of COMMAND are separated by spaces, and single or double quotes make one word
// of what is between them. There is no shell. The command does not get the settings
// of jwksctl and the variables of systemd's sockets. What it writes to standard error is logged
// if it fails, so it must not write secrets there; text in the form of a key is taken out.
//
// [Create] makes a key file, complete or not at all, and never replaces one. It makes
// nothing in another source; [NewLine] makes a key for those. [Open] only reads, and a
// Sealer reads its source again when it is asked to. [AddKey] and [KeepKey] change a key
// file for a rotation; seal does not decide when.
//
// No error or printed value contains a key, and seal logs none itself.
package seal
