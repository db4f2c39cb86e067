package keys

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// policyField is one row of the table of settings: everything that the package knows
// of a setting, except for the rules that involve several of them.
type policyField struct {
	name   string // of the setting, and of the member in the document
	at     any    // a pointer to the field of the policy
	stated any    // the value in the settings; its zero value means that it was not stated

	least    time.Duration                       // of a duration
	derive   func(r time.Duration) time.Duration // a duration's default, from the rotation interval
	preset   any                                 // any other setting's default; nil if it has none
	omitZero bool                                // the document leaves a zero value out
}

// fields is the table of settings. Defaults, validation, JSON, Settings and
// Differences all read it, so a new setting is a new row here and a new field in
// Policy and Settings.
func (p *Policy) fields(s Settings) []policyField {
	seconds := func(d time.Duration) time.Duration { return max(time.Second, d.Truncate(time.Second)) }
	return []policyField{
		{
			name: "rotation_interval", at: &p.RotationInterval, stated: s.RotationInterval, least: 4 * time.Second,
			derive: func(r time.Duration) time.Duration { return r },
		},
		{
			name: "token_ttl", at: &p.TokenTTL, stated: s.TokenTTL, least: time.Second,
			derive: func(r time.Duration) time.Duration { return min(time.Hour, r) },
		},
		{
			name: "jwks_max_age", at: &p.JWKSMaxAge, stated: s.JWKSMaxAge, least: time.Second,
			derive: func(r time.Duration) time.Duration { return seconds(min(5*time.Minute, r/12)) },
		},
		{
			name: "max_staleness", at: &p.MaxStaleness, stated: s.MaxStaleness, least: time.Second,
			derive: func(r time.Duration) time.Duration { return min(time.Hour, r/4) },
		},
		{
			name: "leeway", at: &p.Leeway, stated: s.Leeway, least: time.Second,
			derive: func(r time.Duration) time.Duration { return seconds(min(time.Minute, r/12)) },
		},
		{
			name: "clock_skew", at: &p.ClockSkew, stated: s.ClockSkew, least: 100 * time.Millisecond,
			derive: func(r time.Duration) time.Duration { return max(s.MinClockSkew, min(5*time.Second, r/10)) },
		},
		{name: "algorithm", at: &p.Algorithm, stated: s.Algorithm, preset: jwk.RS256},
		{name: "key_size", at: &p.KeySize, stated: s.KeySize, omitZero: true},
		{name: "issuer", at: &p.Issuer, stated: s.Issuer},
		{name: "expired_tokens", at: &p.ExpiredTokens, stated: s.ExpiredTokens, preset: true},
	}
}

func (f policyField) value() any { return reflect.ValueOf(f.at).Elem().Interface() }

func (f policyField) set(v reflect.Value) { reflect.ValueOf(f.at).Elem().Set(v) }

// isDerived reports whether the field has the default of a rotation interval.
func (f policyField) isDerived(r time.Duration) bool {
	return f.derive != nil && f.value() == f.derive(r)
}

// reset sets the field to its default.
func (f policyField) reset(r time.Duration) {
	if f.derive != nil {
		f.set(reflect.ValueOf(f.derive(r)))
	} else if f.preset != nil {
		f.set(reflect.ValueOf(f.preset))
	}
}

// applyStated sets the field to the stated value, if there is one.
func (f policyField) applyStated() {
	if v := reflect.ValueOf(f.stated); !v.IsZero() {
		f.set(reflect.Indirect(v))
	}
}

// MarshalJSON writes durations as text, such as "1h0m0s".
func (p Policy) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	e := jsontext.NewEncoder(&out)
	err := e.WriteToken(jsontext.BeginObject)
	for _, f := range p.fields(Settings{}) {
		v := f.value()
		if f.omitZero && reflect.ValueOf(v).IsZero() {
			continue
		}
		if d, ok := v.(time.Duration); ok {
			v = d.String()
		}
		err = errors.Join(err, e.WriteToken(jsontext.String(f.name)), jsonv2.MarshalEncode(e, v))
	}
	err = errors.Join(err, e.WriteToken(jsontext.EndObject))
	return out.Bytes(), err
}

// UnmarshalJSON reads what MarshalJSON wrote and refuses anything else.
func (p *Policy) UnmarshalJSON(data []byte) error {
	var members map[string]jsontext.Value
	if err := jsonv2.Unmarshal(data, &members); err != nil {
		return err
	}
	var q Policy
	for _, f := range q.fields(Settings{}) {
		if member, ok := members[f.name]; ok {
			if err := f.unmarshal(member); err != nil {
				return fmt.Errorf("policy %s: %v", f.name, err)
			}
		}
		delete(members, f.name)
	}
	if len(members) > 0 {
		return fmt.Errorf("policy: unknown members %q", slices.Sorted(maps.Keys(members)))
	}
	*p = q
	return q.validate()
}

func (f policyField) unmarshal(member jsontext.Value) error {
	d, ok := f.at.(*time.Duration)
	if !ok {
		return jsonv2.Unmarshal(member, f.at)
	}
	var text string
	err := jsonv2.Unmarshal(member, &text)
	if err == nil {
		*d, err = time.ParseDuration(text)
	}
	return err
}
