package postgres

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	for _, name := range []string{"PGHOST", "PGPORT", "PGDATABASE", "PGUSER"} {
		t.Setenv(name, "")
	}
	for url, want := range map[string]string{
		"postgres://me:secret@DB.example/keys?sslmode=verify-full":     "postgres://db.example:5432/keys?schema=jwksctl",
		"postgresql://db.example:5432/keys?schema=jwksctl":             "postgres://db.example:5432/keys?schema=jwksctl",
		"postgres://db.example:6432/keys?schema=other":                 "postgres://db.example:6432/keys?schema=other",
		"postgres://b,a:5433/keys":                                     "postgres://a:5433,b:5432/keys?schema=jwksctl",
		"postgres://a:5433,b/keys?target_session_attrs=read-write":     "postgres://a:5433,b:5432/keys?schema=jwksctl",
		"postgres:///keys?host=b,a&port=5432,5433":                     "postgres://a:5433,b:5432/keys?schema=jwksctl",
		"postgres://[::1]:5433/keys":                                   "postgres://[::1]:5433/keys?schema=jwksctl",
		"postgres://[::1]/keys":                                        "postgres://[::1]:5432/keys?schema=jwksctl",
		"postgres:///keys?host=/var/run/postgresql/":                   "postgres:///keys?host=/var/run/postgresql&port=5432&schema=jwksctl",
		"postgres://me@/keys?host=%2Ftmp%2Fa&port=6000":                "postgres:///keys?host=/tmp/a&port=6000&schema=jwksctl",
		"postgres://me:secret@db.example/?dbname=keys":                 "postgres://db.example:5432/keys?schema=jwksctl",
		"postgres://me:secret@db.example":                              "postgres://db.example:5432/me?schema=jwksctl",
		"postgres://%2Ftmp%2Fa:6000/keys":                              "postgres:///keys?host=/tmp/a&port=6000&schema=jwksctl",
		"postgres:///keys":                                             "postgres:///keys?schema=jwksctl",
		"postgres://db/a%20b?password_file=/run/secrets/pw":            "postgres://db:5432/a%20b?schema=jwksctl",
		"postgres://me:se%2Fcr%40et%3F@db/keys?application_name=x%40y": "postgres://db:5432/keys?schema=jwksctl",
	} {
		if got := Name(url); got != want {
			t.Errorf("Name(%q) = %q, want %q", url, got, want)
		}
		if err := CheckURL(url); err != nil {
			t.Errorf("CheckURL(%q) = %v", url, err)
		}
		if again := Name(want); again != want {
			t.Errorf("the name %q has the name %q", want, again)
		}
	}
	t.Setenv("PGHOST", "db.example")
	t.Setenv("PGPORT", "6000")
	t.Setenv("PGDATABASE", "keys")
	if got, want := Name("postgres://"), "postgres://db.example:6000/keys?schema=jwksctl"; got != want {
		t.Errorf("Name of the PG… variables = %q, want %q", got, want)
	}
}

func TestCheckURL(t *testing.T) {
	for url, want := range map[string]string{
		"mysql://secret@db/keys":                               "postgres://",
		"postgres:secret":                                      "postgres://",
		"postgres://me:sec/secret@db/keys":                     "%2F",
		"postgres://me:sec?secret@db/keys":                     "%40",
		"postgres://me:sec@secret@db/keys":                     "%40",
		"postgres://me:%zzsecret@db/keys":                      "%25",
		"postgres://db/keys?sslmode=verify_full&x=secret":      "", // one of the two
		"postgres://db/keys?x=secret":                          `unknown parameter "x"`,
		"postgres://db/keys?options=-csecret":                  `unknown parameter "options"`,
		"postgres://db/keys?sslmode=secret":                    "sslmode has to be",
		"postgres://db/keys?sslmode=require&sslmode=secret":    "twice",
		"postgres://db/keys?password=secret":                   "password_file",
		"postgres://db/keys?sslpassword=secret":                "password_file",
		"postgres://db/keys?target_session_attrs=standby":      "may be behind",
		"postgres://db/keys?connect_timeout=0":                 "connect_timeout",
		"postgres://db/keys?schema=Secret":                     "schema has to be",
		"postgres://db/keys?schema=a%3Bb":                      "schema has to be",
		"postgres://db/keys?schema=pg_catalog":                 "schema has to be",
		"postgres://db/keys?schema=information_schema":         "schema has to be",
		"postgres://db/keys?schema=" + strings.Repeat("a", 51): "schema has to be",
		"postgres://me:secret@db:port/keys":                    "host or port",
		"postgres://me:sec:ret@db:secret/keys":                 "host or port",
		"postgres://db:0/keys":                                 "host or port",
		"postgres://::1/keys":                                  "host or port",
		"postgres://a:b:c/keys":                                "host or port",
		"postgres://a,b,c/keys?port=1,2":                       "as many ports",
		"postgres:///keys?host=/tmp&port=secret":               "host or port",
	} {
		err := CheckURL(url)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckURL(%q) = %v, want an error with %q", url, err, want)
			continue
		}
		if strings.Contains(strings.ToLower(err.Error()), "secret") {
			t.Errorf("CheckURL(%q) repeats a part of the URL: %v", url, err)
		}
		if name := Name(url); name != "" {
			t.Errorf("Name(%q) = %q, want none", url, name)
		}
		if _, err := Open(t.Context(), url); err == nil || strings.Contains(strings.ToLower(err.Error()), "secret") {
			t.Errorf("Open(%q) = %v", url, err)
		}
	}
}
