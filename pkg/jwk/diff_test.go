package jwk

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	const (
		a        = `{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
		aWithUse = `{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"sig","n":1}`
		unnamed  = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
		unusable = `{"kty":"new"}`
		name     = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" // RFC 8037, appendix A.3
	)
	none := func(d Difference) Difference {
		if d.Added == nil {
			d.Added = []string{}
		}
		if d.Removed == nil {
			d.Removed = []string{}
		}
		if d.Changed == nil {
			d.Changed = []ChangedKey{}
		}
		return d
	}
	for title, tt := range map[string]struct {
		before, after string
		want          Difference
	}{
		"the same":                       {a, a, Difference{}},
		"another order":                  {a + "," + unnamed, unnamed + "," + a, Difference{}},
		"added":                          {a, a + "," + unnamed, Difference{Added: []string{name}}},
		"removed":                        {a, "", Difference{Removed: []string{"a"}}},
		"changed":                        {a, aWithUse, Difference{Changed: []ChangedKey{{"a", []string{"n", "use"}}}}},
		"a kid twice":                    {a + "," + a, a, Difference{Changed: []ChangedKey{{"a", []string{"crv", "kid", "kty", "x"}}}}},
		"an unusable key by its place":   {a + "," + unusable, a, Difference{Removed: []string{"#1"}}},
		"a member that is not an object": {`7`, `8`, Difference{Changed: []ChangedKey{{"#0", []string{""}}}}},
	} {
		d, err := Diff([]byte(`{"keys":[`+tt.before+`]}`), []byte(`{"keys":[`+tt.after+`]}`))
		if err != nil {
			t.Errorf("%s: %v", title, err)
			continue
		}
		if diff := cmp.Diff(none(tt.want), d); diff != "" {
			t.Errorf("%s (-want +got):\n%s", title, diff)
		}
		if wantEmpty := title == "the same" || title == "another order"; d.Empty() != wantEmpty {
			t.Errorf("%s: Empty() = %v", title, d.Empty())
		}
	}
	for _, broken := range []string{``, `{}`, `[]`, `{"KEYS":[]}`} {
		if _, err := Diff([]byte(`{"keys":[]}`), []byte(broken)); err == nil {
			t.Errorf("%q is compared", broken)
		}
	}
}
