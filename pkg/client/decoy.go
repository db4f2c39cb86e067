package client

import (
	"context"
	"fmt"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// decoys are the keys of clients that do not exist: one for each key type and curve. An
// assertion of an unknown client is verified with one of them, so that its refusal takes as
// long as that of a wrong signature. Their private keys were discarded when they were made,
// and the assertion is refused whatever they say about it.
type decoys []jwk.PublicKey

const decoyKeys = `{"keys": [
{"kty": "RSA", "e": "AQAB", "n": "uLkq8z1dA0eJPMO4BCeI40nGTF8EtE6mze8BRk1vODvJLXSgSvkALWD_3FhJsa2dGSnRoPhK_niUNTXiNgsJoCl6cwMErPzuE9qyGti0wNuS1gW3U4grnEazVFQh9CgSCjsLBdaxl4P8gvEWO5a_mGEY3uSIIgUK1bHAmm7-F8YYRwnxKfbnIsfMS0AITCdTXqANGadR25IwkE2-qsRnDp_u6TPiLD_8xyeLyoKo5Gz5v9q0GE1SwBdZLwYAd0x5ihIqdlbWr8n3cP8rgJMvP3_rONXPjbADx_EB-XG9cPdFxSt0VJHFM3oaq4dW8RWL2KuCNJ_Cka9Ng3C3qp2wlQ"},
{"kty": "EC", "crv": "P-256", "x": "zr5TsTd2Bcji708zi3Q8xzyFVi4VpLOHcFmOddJq540", "y": "J4otSoKDXZw8qBlM2Nh3f3nY-JmCMFYq61CuiX02-TU"},
{"kty": "EC", "crv": "P-384", "x": "uP1b-xtESTLUKtLJ_NIB7_Wjrj43ftek9vLyxmrI3hwoZxWhhdgwvGjfH0vH_tMK", "y": "MOUqj6V3e-BR0yE7K9CfBdW1lrfwbUHZrn_vAc_z-KDOKH2n2KULapFjxyWao_1y"},
{"kty": "EC", "crv": "P-521", "x": "AfpNT4hhuTk-n8G9Bm-kEB6B0ZWvXS4sy_fXaYcN9GaeESUkAzjObAzCXJql3CJz888X44xb7CEtYwhTW_zhSE7c", "y": "AKRjLc_kDcqHuH86OvaI-z7Qj1FrL_fHIOC7od3NZxUjhV8AphqRKn1uf1tC4qPVHDLjibh-T9XXvEbZ3oDC2jgg"},
{"kty": "OKP", "crv": "Ed25519", "x": "u1MiAC7H1oQaJOZQxguq9R-mgLKH3_s3w9JREZutavw"}
]}`

func newDecoys() decoys {
	set, problems, err := jwk.ParseSet([]byte(decoyKeys))
	if err != nil || len(problems) > 0 {
		panic(fmt.Sprintf("client: the decoys cannot be parsed: %v %v", err, problems)) // they are a constant
	}
	return set.Keys
}

// Keys returns all keys for each kid; the token's alg fits one of them.
func (d decoys) Keys(context.Context, string) ([]jwk.PublicKey, error) { return d, nil }
