package postgres

import "testing"

func TestWithoutMD5(t *testing.T) {
	for required, want := range map[string]string{
		"":                        "!md5",
		"!none":                   "!none,!md5",
		"!md5":                    "!md5",
		"!none,!md5":              "!none,!md5",
		"md5,scram-sha-256":       "scram-sha-256",
		"password, scram-sha-256": "password,scram-sha-256",
	} {
		if got, err := withoutMD5(required); err != nil || got != want {
			t.Errorf("%q gives %q, %v, want %q", required, got, err, want)
		}
	}
	if got, err := withoutMD5("md5"); err == nil {
		t.Errorf("md5 alone gives %q", got)
	}
}
