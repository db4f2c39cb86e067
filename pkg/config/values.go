package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// set parses raw, which is text or a value from the decoder of a file, and sets the
// field. The error says what is wanted; the caller adds the value and its source.
func (s setting) set(c *Config, raw any) error {
	if s.auto && raw == auto {
		return nil // the field is zero, which is the default
	}
	err := s.parse(c, raw)
	switch {
	case err != nil && s.auto:
		return fmt.Errorf("%w, or auto", err)
	case err == nil && s.auto && s.text(c) == auto:
		return errors.New("want a value that is not empty or 0, or auto")
	}
	return err
}

func (s setting) parse(c *Config, raw any) error {
	text, scalar := scalarText(raw)
	var err error
	switch p := s.field(c).(type) {
	case *string:
		text, ok := raw.(string)
		if !ok {
			return errors.New("want text, in quotes if it looks like something else")
		}
		*p = text
	case *[]string:
		*p, err = parseList(raw)
	case *[]any:
		*p, err = parseMaps(raw)
	case *bool:
		*p, err = parseBool(text)
	case **bool:
		var given bool
		given, err = parseBool(text)
		*p = &given
	case *time.Duration:
		*p, err = ParseDuration(text)
	case *int:
		n, bad := strconv.Atoi(text)
		if bad != nil || !scalar || strconv.Itoa(n) != text {
			return errors.New("want a whole number without leading zeros")
		}
		*p = n
	case *float64:
		n, bad := strconv.ParseFloat(text, 64)
		if bad != nil || !scalar || !isDecimal(text) {
			return errors.New("want a number without leading zeros")
		}
		*p = n
	}
	return err
}

func parseBool(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, errors.New("want true or false")
	}
	return text == "true", nil
}

// scalarText returns the text of a scalar from a decoder of YAML, TOML or JSON.
func scalarText(raw any) (text string, ok bool) {
	switch r := raw.(type) {
	case string:
		return r, true
	case float64:
		return strconv.FormatFloat(r, 'f', -1, 64), true
	case bool, int, int64, uint64:
		return fmt.Sprint(r), true
	default:
		return "", false
	}
}

// isDecimal reports whether everyone reads a number alike: 010 is 8 in YAML and in C.
func isDecimal(number string) bool {
	return regexp.MustCompile(`^-?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?$`).MatchString(number)
}

// notThis is the end of a message that says what was wanted instead of raw.
func notThis(raw any) string {
	const most = 40
	text, ok := scalarText(raw)
	switch {
	case !ok:
		return ""
	case len(text) > most:
		return fmt.Sprintf(", not %q...", text[:most])
	default:
		return fmt.Sprintf(", not %q", text)
	}
}

// ParseDuration is time.ParseDuration with days in front: 30s, 1h30m, 7d, 1d12h. Unlike
// there, 0 needs a unit too.
func ParseDuration(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	wanted := errors.New("want a duration with a unit, as in 30s, 15m, 24h or 7d")
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, wanted // time.ParseDuration accepts 0
	}
	before, after, found := strings.Cut(text, "d")
	if !found {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, wanted
		}
		return d, nil
	}
	days, err := strconv.ParseUint(before, 10, 16) // 65535 days fit in a Duration
	if err != nil {
		return 0, wanted
	}
	d := time.Duration(days) * day
	if after == "" {
		return d, nil
	}
	rest, err := time.ParseDuration(after)
	if err != nil || rest < 0 || rest >= day || after[0] == '+' {
		return 0, wanted
	}
	return d + rest, nil
}

// ParseNetwork reads an address or a network in CIDR notation. A network must be written
// with the bits of its host set to zero, and must not be every address.
func ParseNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	if address, bad := netip.ParseAddr(text); bad == nil && address.Zone() == "" {
		network, err = netip.PrefixFrom(address, address.BitLen()), nil
	}
	switch {
	case err != nil:
		return network, fmt.Errorf("want addresses or networks, such as 10.1.2.3 or 10.1.0.0/16%s", notThis(text))
	case network.Addr().Is4In6():
		return network, fmt.Errorf("want IPv4 addresses as IPv4%s", notThis(text))
	case network.Bits() == 0:
		return network, fmt.Errorf("%s is every address, and would let every client choose its own: name the networks of the proxies", text)
	case network != network.Masked():
		return network, fmt.Errorf("%s has bits behind the length of the network: give %s, or the address alone", text, network.Masked())
	}
	return network, nil
}

// parseList splits text on commas and takes a list as it is. The empty text
// and the empty list are nil.
func parseList(raw any) ([]string, error) {
	var list []string
	switch r := raw.(type) {
	case string:
		if r == "" {
			return nil, nil
		}
		for item := range strings.SplitSeq(r, ",") {
			list = append(list, strings.TrimSpace(item))
		}
	case []any:
		for _, item := range r {
			text, ok := item.(string)
			if !ok {
				return nil, errors.New("want a list that contains only text")
			}
			list = append(list, text)
		}
	default:
		return nil, errors.New("want a list of text")
	}
	return list, nil
}

// parseMaps takes a list of maps as it is. The empty list is nil.
func parseMaps(raw any) ([]any, error) {
	switch r := raw.(type) {
	case []any:
		if len(r) == 0 {
			return nil, nil
		}
		return r, nil
	case []map[string]any:
		list := make([]any, len(r))
		for i := range r {
			list[i] = r[i]
		}
		return list, nil
	default:
		return nil, errors.New("want a list of maps")
	}
}

// mapNames returns the ids of a list of maps.
func mapNames(list []any) []string {
	var names []string
	for _, element := range list {
		members, _ := element.(map[string]any)
		id, _ := members["id"].(string)
		names = append(names, cmp.Or(id, "?"))
	}
	return names
}

// text is the setting's value as a file, a variable or a flag can have it. Of a list of
// maps it is only their ids.
func (s setting) text(c *Config) string {
	var text string
	zero := false
	switch p := s.field(c).(type) {
	case *string:
		text, zero = *p, *p == ""
	case *[]string:
		text = strings.Join(*p, ",")
	case *[]any:
		text = strings.Join(mapNames(*p), ",")
	case *bool:
		text = strconv.FormatBool(*p)
	case **bool:
		if zero = *p == nil; !zero {
			text = strconv.FormatBool(**p)
		}
	case *time.Duration:
		text, zero = durationText(*p), *p == 0
	case *int:
		text, zero = strconv.Itoa(*p), *p == 0
	case *float64:
		text = strconv.FormatFloat(*p, 'f', -1, 64)
	}
	if s.auto && zero {
		return auto
	}
	return text
}

// durationText is d without zero minutes and seconds: 24h, not 24h0m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
