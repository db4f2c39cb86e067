package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultSchema = "jwksctl"
	defaultPort   = "5432"
)

// location is what a URL says.
type location struct {
	dsn          string // the URL for pgx, without the parameters that only we know
	hosts        []host // in one order
	database     string
	schema       string
	passwordFile string
}

// host is the name of a server, or the folder of its socket, and the port.
type host struct{ name, port string }

func (h host) isSocket() bool { return strings.HasPrefix(h.name, "/") }

// CheckURL returns an error if url is not the URL of a PostgreSQL store. The error does
// not contain the password.
func CheckURL(url string) error {
	_, err := parseURL(url)
	return err
}

// Name returns what identifies the store at url: hosts, database and schema. It is the
// same for each URL of the store that names the same hosts, and "" if url is not valid.
func Name(url string) string {
	l, err := parseURL(url)
	if err != nil {
		return ""
	}
	return l.name()
}

func (l location) name() string {
	var authority, names, ports []string
	sockets := false
	for _, h := range l.hosts {
		authority = append(authority, net.JoinHostPort(h.name, h.port))
		names, ports = append(names, h.name), append(ports, h.port)
		sockets = sockets || h.isSocket()
	}
	query := ""
	if sockets {
		authority = nil
		query = "host=" + escape(names) + "&port=" + escape(ports) + "&"
	}
	return "postgres://" + strings.Join(authority, ",") + "/" + url.PathEscape(l.database) + "?" + query + "schema=" + l.schema
}

// escape writes a list as the value of a parameter that a person can read.
func escape(list []string) string {
	return strings.NewReplacer("%2F", "/", "%2C", ",").Replace(url.QueryEscape(strings.Join(list, ",")))
}

// parseURL reads a URL without any I/O. Its errors contain no value of the URL that may be
// a part of the password.
func parseURL(s string) (location, error) {
	scheme, rest, _ := strings.Cut(s, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		return location{}, errors.New("it does not begin with postgres://")
	}
	rest, rawQuery, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if strings.ContainsAny(path, "/@") || strings.Contains(rawQuery, "@") || strings.Count(authority, "@") > 1 {
		return location{}, errors.New("a / ? or @ in the user or the password has to be written as %2F %3F or %40")
	}
	userinfo, netloc := "", authority
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		userinfo, netloc = authority[:at], authority[at+1:]
	}
	rawUser, rawPassword, _ := strings.Cut(userinfo, ":")
	user, err1 := url.PathUnescape(rawUser)
	_, err2 := url.PathUnescape(rawPassword)
	database, err3 := url.PathUnescape(path)
	query, err4 := url.ParseQuery(rawQuery)
	netloc, err5 := url.PathUnescape(netloc)
	if errors.Join(err1, err2, err3, err4, err5) != nil {
		return location{}, errors.New("a % is not followed by two hexadecimal digits: write it as %25")
	}
	if err := checkParameters(query); err != nil {
		return location{}, err
	}
	l := location{schema: cmp.Or(query.Get("schema"), defaultSchema), passwordFile: query.Get("password_file")}
	l.database = cmp.Or(query.Get("dbname"), database, os.Getenv("PGDATABASE"), query.Get("user"), user, os.Getenv("PGUSER"))
	var err error
	ports := cmp.Or(query.Get("port"), os.Getenv("PGPORT"), defaultPort)
	if names := query.Get("host"); names != "" || netloc == "" {
		l.hosts, err = parseHosts(cmp.Or(names, os.Getenv("PGHOST")), ports, parseName)
	} else {
		l.hosts, err = parseHosts(netloc, ports, parseAddress)
	}
	if err != nil {
		return location{}, err
	}
	if len(l.hosts) > 1 && !query.Has("target_session_attrs") {
		query.Set("target_session_attrs", "primary")
	}
	query.Del("schema")
	query.Del("password_file")
	l.dsn = scheme + "://" + authority + "/" + path + "?" + query.Encode()
	return l, nil
}

// checkParameters refuses parameters that pgx would send to the server, where a pooler
// refuses them, and values that cannot work.
func checkParameters(query url.Values) error {
	for key, values := range query {
		if len(values) > 1 {
			return fmt.Errorf("parameter %s is given twice", key)
		}
		switch value := values[0]; key {
		case "host", "port", "dbname", "user", "passfile", "password_file", "application_name",
			"sslcert", "sslkey", "sslrootcert", "sslsni", "sslcertmode", "sslnegotiation", "channel_binding", "require_auth":
		case "connect_timeout":
			if n, err := strconv.Atoi(value); err != nil || n < 1 {
				return errors.New("connect_timeout has to be a number of seconds, at least 1")
			}
		case "sslmode":
			if !slices.Contains([]string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}, value) {
				return errors.New("sslmode has to be disable, allow, prefer, require, verify-ca or verify-full")
			}
		case "target_session_attrs":
			if !slices.Contains([]string{"any", "primary", "read-write"}, value) {
				return errors.New("target_session_attrs has to be primary, read-write or any: a standby may be behind")
			}
		case "schema":
			if !regexp.MustCompile(`^[a-z_][a-z0-9_]{0,49}$`).MatchString(value) || strings.HasPrefix(value, "pg_") || value == "information_schema" {
				return errors.New("schema has to be lower-case letters, digits and _, at most 50, not begin with pg_ or a digit, and not be information_schema")
			}
		case "password", "sslpassword":
			return fmt.Errorf("parameter %s is not taken: name a file with password_file or passfile", key)
		default:
			return fmt.Errorf("unknown parameter %q", key)
		}
	}
	return nil
}

// parseHosts returns the hosts with their ports, in one order.
func parseHosts(names, ports string, parse func(name, port string) host) ([]host, error) {
	if names == "" {
		return nil, nil
	}
	var out []host
	list, portList := strings.Split(names, ","), strings.Split(ports, ",")
	if len(portList) > 1 && len(portList) != len(list) {
		return nil, errors.New("there have to be as many ports as hosts, or one")
	}
	for i, name := range list {
		h := parse(name, portList[min(i, len(portList)-1)])
		n, err := strconv.ParseUint(h.port, 10, 16)
		if err != nil || n == 0 || h.name == "" || !h.isSocket() && strings.ContainsAny(h.name, ":[]") && net.ParseIP(h.name) == nil {
			return nil, errors.New("a host or port is not valid: use host:port, and [address]:port for IPv6")
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b host) int { return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.port, b.port)) })
	return slices.Compact(out), nil
}

// parseName reads an element of the parameter host.
func parseName(name, port string) host {
	if strings.HasPrefix(name, "/") {
		return host{strings.TrimRight(name, "/"), port}
	}
	return host{strings.ToLower(name), port}
}

// parseAddress reads an element of the part between // and /, with or without a port.
func parseAddress(address, port string) host {
	if name, given, err := net.SplitHostPort(address); err == nil {
		return parseName(name, cmp.Or(given, port))
	}
	if name, ok := strings.CutPrefix(address, "["); ok {
		return parseName(strings.TrimSuffix(name, "]"), port)
	}
	if strings.Contains(address, ":") {
		return host{} // an IPv6 address without brackets
	}
	return parseName(address, port)
}
