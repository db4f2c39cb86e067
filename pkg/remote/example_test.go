package remote_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
)

// A service that verifies tokens makes one Source at its start and keeps it for
// as long as it runs.
func Example() {
	issuer := exampleIssuer()
	defer issuer.Close()
	ctx := context.Background()

	metadata, err := remote.Discover(ctx, issuer.URL, remote.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	source, err := remote.New(metadata.JWKSURL, remote.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Give source to the verifier, or look up a key directly.
	keys, err := source.Keys(ctx, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range keys {
		fmt.Println(key.Algorithm(), key.KeyID())
	}
	// Output:
	// EdDSA 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo
}

// Keys in a file need no network.
func ExampleStatic() {
	set, problems, err := jwk.ParseSet([]byte(exampleSet))
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, _ := remote.Static{Set: set}.Keys(context.Background(), "")
	fmt.Println(len(keys), "usable,", len(problems), "not")
	// Output:
	// 1 usable, 1 not
}

const exampleSet = `{"keys":[
	{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA",
	 "kid":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
	 "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
	{"kty":"from the future","kid":"2"}
]}`

func exampleIssuer() *httptest.Server {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	mux.HandleFunc("GET /jwks", says(exampleSet, "Cache-Control", "max-age=300"))
	mux.HandleFunc("GET /.well-known/openid-configuration",
		says(fmt.Sprintf(`{"issuer":%q,"jwks_uri":"%s/jwks"}`, server.URL, server.URL)))
	return server
}
